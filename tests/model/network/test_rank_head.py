"""The rank head's shared and merged form against its direct one, and the direct one against a plain loop."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from model.network.attention import attend, merge
from model.network.config import RankHeadShape
from model.network.rank_head import Keys, OwnPart, RankHead

HIDDEN = 12
Mode = Literal["mha", "literal"]
MlpInput = Literal["attn", "attn_query"]
BOTH_HEADS = pytest.mark.parametrize("mode", ["mha", "literal"])
BOTH_INPUTS = pytest.mark.parametrize("mlp_input", ["attn", "attn_query"])


def rank_head(mode: Mode, mlp_input: MlpInput, seed: int = 0) -> RankHead:
    heads, dim = (1, HIDDEN) if mode == "literal" else (3, 4)
    shape = RankHeadShape(mode=mode, heads=heads, dim=dim, mlp_hidden=5, mlp_input=mlp_input)
    head = RankHead(shape, HIDDEN).double()
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in head.parameters():
            weight.copy_(torch.randn(weight.shape, generator=chance, dtype=torch.float64) * 0.5)
    return head


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def logit_by_hand(head: RankHead, embedding: Tensor, states: Tensor) -> float:
    """interfaces.md, 'Bundle tensors', one head and one key at a time."""
    identity = torch.eye(HIDDEN, dtype=torch.float64)
    w_q, w_k, w_v = (identity if part is None else part.weight for part in (head.q_proj, head.k_proj, head.v_proj))
    outputs: list[Tensor] = []
    for number in range(head.heads):
        rows = slice(number * head.dim, (number + 1) * head.dim)
        q = w_q[rows] @ embedding
        weights = [math.exp(float(q @ (w_k[rows] @ h)) / math.sqrt(head.dim)) for h in states]
        mixed = sum((weight * (w_v[rows] @ h) for weight, h in zip(weights, states, strict=True)), torch.zeros(()))
        outputs.append(mixed / sum(weights))
    features = torch.cat(outputs + ([w_q @ embedding] if head.with_query else []))
    hidden = head.fc1.weight @ features + head.fc1.bias
    return float(head.fc2.weight[0] @ (hidden * torch.sigmoid(hidden)) + head.fc2.bias[0])


@BOTH_HEADS
@BOTH_INPUTS
def test_the_direct_form_is_what_the_interfaces_say(mode: Mode, mlp_input: MlpInput) -> None:
    head = rank_head(mode, mlp_input)
    embeddings, states = drawn(6, HIDDEN, seed=1), drawn(9, HIDDEN, seed=2)
    with torch.no_grad():
        logits = head.score_logits(embeddings, states)
        expected = [logit_by_hand(head, embedding, states) for embedding in embeddings]
    assert logits.tolist() == pytest.approx(expected, abs=1e-12)


@BOTH_HEADS
@BOTH_INPUTS
@pytest.mark.parametrize("own_keys", [1, 2, 3])
def test_the_factorised_form_equals_the_direct_one(mode: Mode, mlp_input: MlpInput, own_keys: int) -> None:
    head = rank_head(mode, mlp_input)
    codes, beams = 7, 4
    embeddings, shared = drawn(codes, HIDDEN, seed=1), drawn(9, HIDDEN, seed=2)
    # One beam's own keys outweigh all others by far: the merge must not overflow.
    own = (
        drawn(beams, own_keys, HIDDEN, seed=3) * torch.tensor([1.0, 1.0, 1.0, 60.0], dtype=torch.float64)[:, None, None]
    )
    with torch.no_grad():
        query = head.query(embeddings)
        part = head.code_part(query, head.project(shared))
        mine = head.project(own)
        merged = head.merged_logits(
            part, OwnPart(head.own_scores(query, mine), head.hidden_of(mine.value).unsqueeze(1))
        )
        for beam in range(beams):
            direct = head.score_logits(embeddings, torch.cat((shared, own[beam])))
            torch.testing.assert_close(merged[beam], direct, rtol=0, atol=1e-9)


@BOTH_HEADS
def test_without_own_keys_the_code_part_is_the_whole_score(mode: Mode) -> None:
    head = rank_head(mode, "attn_query")
    embeddings, shared = drawn(2, 7, HIDDEN, seed=1), drawn(2, 9, HIDDEN, seed=2)
    with torch.no_grad():
        part = head.code_part(head.query(embeddings), head.project(shared))
        direct = head.score_logits(embeddings, shared)
        torch.testing.assert_close(head.merged_logits(part, None), direct, rtol=0, atol=1e-12)


def test_a_hidden_key_is_as_good_as_absent() -> None:
    head = rank_head("mha", "attn")
    embeddings, states = drawn(3, 5, HIDDEN, seed=1), drawn(3, 8, HIDDEN, seed=2)
    mask = torch.ones(3, 1, 8, dtype=torch.bool)
    mask[1, 0, 5:] = False
    with torch.no_grad():
        logits = head.score_logits(embeddings, states, mask)
        short = head.score_logits(embeddings[1], states[1, :5])
    torch.testing.assert_close(logits[1], short, rtol=0, atol=1e-12)


def test_every_form_has_the_gradient_of_the_direct_one() -> None:
    head = rank_head("mha", "attn_query")
    embeddings = drawn(4, HIDDEN, seed=1)
    shared = drawn(6, HIDDEN, seed=2).requires_grad_()
    own = drawn(1, HIDDEN, seed=3).requires_grad_()

    def factored(shared: Tensor, own: Tensor) -> Tensor:
        query = head.query(embeddings)
        mine = head.project(own)
        part = head.code_part(query, head.project(shared))
        hidden = head.hidden_of(mine.value).unsqueeze(0)
        return head.merged_logits(part, OwnPart(head.own_scores(query, mine), hidden)).sum()

    direct = head.score_logits(embeddings, torch.cat((shared, own))).sum()
    wanted = torch.autograd.grad(direct, (shared, own, *head.parameters()))
    found = torch.autograd.grad(factored(shared, own), (shared, own, *head.parameters()))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_attention_over_parts_merges_to_attention_over_all() -> None:
    query, key, value = drawn(2, 5, 4, seed=1), drawn(2, 9, 4, seed=2) * 40, drawn(2, 9, 4, seed=3)
    whole = attend(query, key, value, 0.5)
    front, back = (attend(query, key[:, part], value[:, part], 0.5) for part in (slice(0, 3), slice(3, 9)))
    merged = merge(front, back)
    torch.testing.assert_close(merged.output, whole.output, rtol=0, atol=1e-12)
    torch.testing.assert_close(merged.lse, whole.lse, rtol=0, atol=1e-12)


def test_keys_projected_once_score_like_keys_projected_each_time() -> None:
    head = rank_head("mha", "attn")
    embeddings, states = drawn(5, HIDDEN, seed=1), drawn(8, HIDDEN, seed=2)
    keys: Keys = head.project(states)
    with torch.no_grad():
        torch.testing.assert_close(
            head.projected(head.query(embeddings), keys),
            head.score_logits(embeddings, states),
            rtol=0,
            atol=0,
        )
