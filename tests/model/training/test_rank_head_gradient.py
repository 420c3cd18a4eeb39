"""The rank head as training uses it: its gradient against differences, its fused form against its plain one."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from model.network.config import RankHeadShape
from model.network.rank_head import RankHead

HIDDEN = 6
Mode = Literal["mha", "literal"]
MlpInput = Literal["attn", "attn_query"]
BOTH_MODES = pytest.mark.parametrize("mode", ["mha", "literal"])
BOTH_INPUTS = pytest.mark.parametrize("mlp_input", ["attn", "attn_query"])


def rank_head(mode: Mode, mlp_input: MlpInput) -> RankHead:
    heads, dim = (1, HIDDEN) if mode == "literal" else (2, 2)
    shape = RankHeadShape(mode=mode, heads=heads, dim=dim, mlp_hidden=3, mlp_input=mlp_input)
    head = RankHead(shape, HIDDEN).double()
    with torch.no_grad():
        for number, weight in enumerate(head.parameters()):
            weight.copy_(drawn(*weight.shape, seed=number) * 0.5)
    return head


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_hidden() -> Tensor:
    """Which of 2 x 4 keys may be seen; every query sees one at least."""
    return torch.tensor([[[True, True, False, True]], [[False, False, True, False]]])


@BOTH_MODES
@BOTH_INPUTS
@pytest.mark.parametrize("form", ["score_logits", "fused"])
def test_the_gradient_is_that_of_the_value(mode: Mode, mlp_input: MlpInput, form: str) -> None:
    head = rank_head(mode, mlp_input)
    embedding = drawn(2, 3, HIDDEN, seed=10).requires_grad_()
    states = drawn(2, 4, HIDDEN, seed=11).requires_grad_()

    def logits(*_: Tensor) -> Tensor:
        if form == "score_logits":
            return head.score_logits(embedding, states, some_hidden())
        return head.fused(head.query(embedding), head.project(states), some_hidden())

    assert torch.autograd.gradcheck(logits, (embedding, states, *head.parameters()))


@BOTH_MODES
@BOTH_INPUTS
def test_fused_equals_plain_in_value_and_gradient(mode: Mode, mlp_input: MlpInput) -> None:
    head = rank_head(mode, mlp_input)
    embedding = drawn(2, 3, HIDDEN, seed=10).requires_grad_()
    states = drawn(2, 4, HIDDEN, seed=11).requires_grad_()
    leaves = (embedding, states, *head.parameters())
    pull = drawn(2, 3, seed=12)
    plain = head.projected(head.query(embedding), head.project(states), some_hidden())
    fused = head.fused(head.query(embedding), head.project(states), some_hidden())
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-12)
    wanted = torch.autograd.grad((plain * pull).sum(), leaves)
    found = torch.autograd.grad((fused * pull).sum(), leaves)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
