"""Hit rate and NDCG against hand-computed values and a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.metrics import hit_rate, ndcg

LIST = np.array([5, 3, 9, 1, 7])


@pytest.mark.parametrize(
    ("truth", "k", "expected"),
    [
        ({5}, 1, 1.0),
        ({3}, 1, 0.0),
        ({3, 9}, 2, 0.5),
        ({3, 9}, 3, 1.0),
        ({1, 2, 3, 4}, 5, 0.5),
        ({2}, 100, 0.0),
    ],
)
def test_hit_rate_is_the_share_of_the_truth_among_the_first_k(truth: set[int], k: int, expected: float) -> None:
    assert hit_rate(LIST, truth, k) == expected


@pytest.mark.parametrize(
    ("truth", "k", "expected"),
    [
        ({5}, 1, 1.0),
        ({3}, 5, 1 / math.log2(3)),
        ({9}, 5, 0.5),
        ({5, 3}, 2, 1.0),
        ({3, 9}, 5, (1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3))),
        # Of three true items two fit into the first two places: that would be the ideal.
        ({5, 7, 8}, 2, 1 / (1 + 1 / math.log2(3))),
        ({7}, 4, 0.0),
    ],
)
def test_ndcg_counts_early_hits_more(truth: set[int], k: int, expected: float) -> None:
    assert ndcg(LIST, truth, k) == pytest.approx(expected)


def test_without_a_truth_there_is_no_metric() -> None:
    with pytest.raises(ValueError, match="at least one true item"):
        hit_rate(LIST, set(), 5)
    with pytest.raises(ValueError, match="at least one true item"):
        ndcg(LIST, frozenset(), 5)


def ndcg_by_hand(ranked: list[int], truth: set[int], k: int) -> float:
    gain = sum(1 / math.log2(rank + 1) for rank, item in enumerate(ranked[:k], start=1) if item in truth)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(truth), k) + 1))
    return gain / ideal


@given(
    st.lists(st.integers(0, 20), unique=True, max_size=15),
    st.sets(st.integers(0, 20), min_size=1, max_size=8),
    st.integers(1, 25),
)
def test_both_equal_a_plain_loop(ranked: list[int], truth: set[int], k: int) -> None:
    ranked_R = np.array(ranked, dtype=np.int64)
    assert hit_rate(ranked_R, truth, k) == pytest.approx(sum(item in truth for item in ranked[:k]) / len(truth))
    assert ndcg(ranked_R, truth, k) == pytest.approx(ndcg_by_hand(ranked, truth, k))
    assert 0.0 <= ndcg(ranked_R, truth, k) <= 1.0 + 1e-12


@given(st.lists(st.integers(0, 20), unique=True, max_size=15), st.sets(st.integers(0, 20), min_size=1))
def test_a_longer_list_never_lowers_the_hit_rate(ranked: list[int], truth: set[int]) -> None:
    rates = [hit_rate(np.array(ranked, dtype=np.int64), truth, k) for k in range(1, 18)]
    assert rates == sorted(rates)
