"""The compiled pieces against numpy, on random and on awkward input."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoding.pair_kernel import first_at_least, keep_best, log_sum_exp, nth_greatest

few_values = st.lists(st.sampled_from([-np.inf, -3.5, -1.0, 0.0, 0.25, 7.0]), min_size=1, max_size=40)


@given(values=few_values, place=st.integers(0, 1000))
@settings(max_examples=200, deadline=None)
def test_the_nth_greatest_is_what_sorting_finds(values: list[float], place: int) -> None:
    array = np.array(values, np.float32)
    nth = place % len(array)
    assert nth_greatest(array.copy(), nth) == np.sort(array)[::-1][nth]


@given(values=few_values, most=st.integers(1, 45))
@settings(max_examples=200, deadline=None)
def test_the_best_are_kept_in_order_and_equals_go_to_the_first(values: list[float], most: int) -> None:
    value = np.array(values, np.float32)
    node = np.arange(10, 10 + len(value))
    kept = keep_best(node, value, most, np.empty(len(value), np.float32))
    expected = sorted(sorted(range(len(values)), key=lambda k: (-values[k], k))[:most])
    assert node[:kept].tolist() == [10 + k for k in expected]
    assert value[:kept].tolist() == [np.float32(values[k]) for k in expected]


@given(values=st.lists(st.integers(0, 50), max_size=30), value=st.integers(-1, 51))
@settings(max_examples=100, deadline=None)
def test_the_first_entry_not_below_a_value_is_where_numpy_finds_it(values: list[int], value: int) -> None:
    array = np.unique(np.array(values, np.int64))
    assert first_at_least(array, value) == np.searchsorted(array, value)


@given(seed=st.integers(0, 10**6), size=st.integers(1, 300), spread=st.sampled_from([0.0, 1.0, 80.0, 1e4]))
@settings(max_examples=100, deadline=None)
def test_log_sum_exp_is_right_to_float32(seed: int, size: int, spread: float) -> None:
    logits = (np.random.default_rng(seed).standard_normal(size) * spread).astype(np.float32)
    top = logits.max()
    expected = float(top) + np.log(np.exp(logits.astype(np.float64) - top).sum())
    np.testing.assert_allclose(log_sum_exp(logits), expected, rtol=1e-6, atol=1e-6)


def test_what_is_not_finite_shows() -> None:
    for bad in (np.nan, np.inf):
        assert not np.isfinite(log_sum_exp(np.array([0.5, bad, 1.0], np.float32)))
