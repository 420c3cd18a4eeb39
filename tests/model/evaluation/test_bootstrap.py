"""Bootstrap intervals against a slow loop, and what they are for: they hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.evaluation.bootstrap import CHUNK, intervals


def slow_interval(values: list[float], draws: int, seed: int) -> tuple[float, float]:
    """Users drawn one by one, with replacement."""
    rng = np.random.default_rng(seed)
    means = sorted(
        sum(values[place] for place in rng.integers(0, len(values), len(values)).tolist()) / len(values)
        for _ in range(draws)
    )
    return means[int(0.025 * draws)], means[int(0.975 * draws)]


def test_it_agrees_with_users_drawn_one_by_one() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0.2, 1.0, size=150)
    [found] = intervals(values[:, None], seed=1, draws=3000)
    low, high = slow_interval(values.tolist(), draws=3000, seed=2)
    # Two estimates of the same quantiles: each varies by a few hundredths of the spread, 0.08.
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)
    assert found.mean == pytest.approx(values.mean())


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    # Columns are independent repetitions of one experiment: 300 users, a hit rate of 0.3.
    hits_UM = (rng.random((300, 400)) < 0.3).astype(np.float64)
    held = [each.low <= 0.3 <= each.high for each in intervals(hits_UM, draws=400)]
    assert 0.90 <= np.mean(held) <= 0.98


def test_an_effect_of_the_smallest_size_that_shows_is_found_in_four_of_five_cases() -> None:
    rng = np.random.default_rng(4)
    users, spread = 200, 1.0
    [probe] = intervals(rng.normal(0.0, spread, size=(users, 1)), draws=100)
    shifted_UM = rng.normal(probe.smallest_effect, spread, size=(users, 400))
    found = [each.excludes_zero for each in intervals(shifted_UM, draws=400)]
    assert 0.72 <= np.mean(found) <= 0.88


def test_the_same_seed_draws_the_same_and_columns_share_the_draws() -> None:
    values_UM = np.random.default_rng(1).random((40, 2))
    values_UM[:, 1] = values_UM[:, 0] + 1
    first, second = intervals(values_UM, seed=5, draws=2 * CHUNK + 3)
    assert (second.low, second.high) == pytest.approx((first.low + 1, first.high + 1))
    assert intervals(values_UM, seed=5, draws=200) == intervals(values_UM, seed=5, draws=200)
    assert intervals(values_UM, seed=5, draws=200) != intervals(values_UM, seed=6, draws=200)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(0, 5))
@settings(max_examples=40)
def test_an_interval_lies_between_the_extremes(values: list[float], seed: int) -> None:
    [found] = intervals(np.array(values)[:, None], seed=seed, draws=50)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found.smallest_effect >= 0


def test_nobody_gives_no_interval() -> None:
    with pytest.raises(ValueError, match="at least one user"):
        intervals(np.empty((0, 3)))
