"""Co-occurrence features: counted as a plain loop counts, near where histories say near."""

from __future__ import annotations

from math import log

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.semantic_id.cooccurrence import cooccurrence_counts, cooccurrence_features, ppmi_matrix

Histories = list[npt.NDArray[np.int64]]


def rows(*histories: list[int]) -> Histories:
    return [np.asarray(history, np.int64) for history in histories]


def naive_counts(histories: list[list[int]], n_items: int, window: int) -> npt.NDArray[np.float64]:
    counts = np.zeros((n_items, n_items))
    for history in histories:
        for here, one in enumerate(history):
            for there, other in enumerate(history):
                if one != other and abs(here - there) <= window:
                    counts[one, other] += 1
    return counts


@given(st.lists(st.lists(st.integers(0, 5), max_size=9), max_size=5), st.integers(1, 4))
def test_counts_are_those_of_a_plain_loop(histories: list[list[int]], window: int) -> None:
    counts = cooccurrence_counts(rows(*histories), 6, window)
    np.testing.assert_array_equal(counts.toarray(), naive_counts(histories, 6, window))


def test_ppmi_is_that_of_its_formula() -> None:
    counts = cooccurrence_counts(rows([0, 1, 2, 1], [0, 3], [2, 3, 1]), 5, 2)
    dense = counts.toarray()
    total = dense.sum(axis=1)
    smooth = total**0.75
    expected = np.zeros((5, 5))
    for i, j in zip(*np.nonzero(dense), strict=True):
        expected[i, j] = max(0.0, log(dense[i, j] / (total[i] * smooth[j] / smooth.sum())))
    np.testing.assert_allclose(ppmi_matrix(counts).toarray(), expected)


def test_items_of_the_same_company_are_near_and_items_never_seen_are_zero() -> None:
    chance = np.random.default_rng(0)
    histories = [chance.permutation(10)[:6] + 10 * (user % 2) for user in range(200)]
    features_ND = cooccurrence_features(histories, 25, 8, seed=0)
    likeness_NN = features_ND @ features_ND.T
    assert likeness_NN[:10, :10].mean() > likeness_NN[:10, 10:20].mean() + 0.4
    assert not features_ND[20:].any()
    np.testing.assert_allclose(np.linalg.norm(features_ND[:20], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("histories", [rows(), rows([]), rows([3]), rows([2, 2, 2], [1])])
def test_histories_without_pairs_give_zeros(histories: Histories) -> None:
    features_ND = cooccurrence_features(histories, 4, 3, seed=0)
    assert features_ND.shape == (4, 3)
    assert features_ND.dtype == np.float32
    assert not features_ND.any()


def test_the_same_seed_gives_the_same_features() -> None:
    chance = np.random.default_rng(1)
    histories = [chance.integers(0, 50, 12) for _ in range(40)]
    one = cooccurrence_features(histories, 50, 16, seed=2)
    np.testing.assert_array_equal(one, cooccurrence_features(histories, 50, 16, seed=2))
