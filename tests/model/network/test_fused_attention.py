"""The fused kernels with their log-sum-exp against the plain form, however the tensors lie in memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.network.attention import attend
from model.network.fused_attention import attend_fused

# Shapes: G key groups, Q queries, T keys, E width of a head.

LAYOUTS = ("one piece", "cut short", "heads inside", "numbers apart")


def laid_out(x_GTE: Tensor, layout: str) -> Tensor:
    """The same values in another order in memory."""
    if layout == "cut short":
        return torch.cat((x_GTE, x_GTE), 1)[:, : x_GTE.shape[1]]
    if layout == "heads inside":
        return x_GTE.transpose(0, 1).contiguous().transpose(0, 1)
    if layout == "numbers apart":
        return x_GTE.transpose(1, 2).contiguous().transpose(1, 2)
    return x_GTE


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("keys", [1, 7, 33])
@pytest.mark.parametrize("causal", [False, True])
def test_fused_equals_plain(layout: str, keys: int, causal: bool) -> None:
    chance = torch.Generator().manual_seed(keys)
    queries = keys if causal else 5
    query = torch.randn(2, queries, 32, generator=chance)
    key, value = (torch.randn(2, keys, 32, generator=chance) for _ in range(2))
    mask = torch.ones(queries, keys, dtype=torch.bool).tril() if causal else None
    expected = attend(query, key, value, 0.2, mask)
    query, key, value = (laid_out(x, layout) for x in (query, key, value))
    found = attend_fused(query, key, value, 0.2, causal=causal)
    torch.testing.assert_close(found.output, expected.output, rtol=0, atol=2e-6)
    torch.testing.assert_close(found.lse, expected.lse, rtol=0, atol=2e-6)


def test_no_queries_are_no_answers() -> None:
    found = attend_fused(torch.empty(2, 0, 32), torch.ones(2, 3, 32), torch.ones(2, 3, 32), 0.2)
    assert found.output.shape == (2, 0, 32)
    assert found.lse.shape == (2, 0)
