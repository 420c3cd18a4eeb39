"""Balanced assignment: the plan has the marginals it promises, and is the one a plain loop in logarithms finds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.special import logsumexp

from model.semantic_id.rqvae.sinkhorn import sinkhorn_codes, sinkhorn_plan


def some_distances(items: int = 24, codes: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.rand(items, codes, generator=torch.Generator().manual_seed(seed)) * 3


def naive_plan(distance_BV: torch.Tensor, temperature: float, rounds: int) -> npt.NDArray[np.float64]:
    distance = distance_BV.double().numpy()
    plan: npt.NDArray[np.float64] = -(distance - distance.min(axis=1, keepdims=True)) / distance.std() / temperature
    for _ in range(rounds):
        plan = plan - logsumexp(plan, axis=0, keepdims=True) - np.log(plan.shape[1])
        plan = plan - logsumexp(plan, axis=1, keepdims=True) - np.log(plan.shape[0])
    return np.exp(plan)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_plan_is_that_of_a_plain_loop(temperature: float) -> None:
    distance_BV = some_distances()
    found = sinkhorn_plan(distance_BV, temperature, 30).numpy()
    np.testing.assert_allclose(found, naive_plan(distance_BV, temperature, 30), rtol=1e-5, atol=1e-12)


def test_every_item_and_every_code_has_its_share() -> None:
    plan_BV = sinkhorn_plan(some_distances(), 0.2, 500)
    torch.testing.assert_close(plan_BV.sum(1), torch.full((24,), 1 / 24, dtype=torch.float64))
    torch.testing.assert_close(plan_BV.sum(0), torch.full((6,), 1 / 6, dtype=torch.float64), atol=1e-6, rtol=1e-4)


def test_codes_that_are_nearest_to_nothing_get_items_all_the_same() -> None:
    distance_BV = some_distances()
    distance_BV[:, 3] += 1.0
    assert 3 not in distance_BV.argmin(1)
    assert set(sinkhorn_codes(distance_BV, 0.05, 50).tolist()) == set(range(6))


@pytest.mark.parametrize("distance", [0.0, 1e30])
def test_distances_without_a_spread_or_out_of_reach_give_some_code(distance: float) -> None:
    distance_BV = torch.zeros(5, 3)
    distance_BV[:, 1:] = distance
    code_B = sinkhorn_codes(distance_BV, 0.001, 5)
    assert ((code_B >= 0) & (code_B < 3)).all()
