"""Co-occurrence and transitions against brute force; lists against scores added up by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.sparse as sp

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from model.baselines.item_to_item import ItemToItem, cooccurrence, returns_often, transitions
from model.baselines.train_rows import TrainRows
from model.data.log import Split

from .worlds import held_out_user, histories, random_data


@pytest.mark.parametrize("level", [Level.CLICK, Level.EXPOSURE])
@pytest.mark.parametrize("seed", range(5))
def test_cooccurrence_is_the_shrunken_cosine_of_the_sets_of_users(seed: int, level: Level) -> None:
    data = random_data(seed)
    rows = TrainRows.of(data, level)
    users = [
        {user for user, history in enumerate(histories(rows, data, level)) if item in history}
        for item in range(len(rows))
    ]
    expected = np.zeros((len(rows), len(rows)))
    for one, other in itertools.permutations(range(len(rows)), 2):
        shared = len(users[one] & users[other])
        expected[one, other] = shared / math.sqrt((len(users[one]) + 2.5) * (len(users[other]) + 2.5))
    np.testing.assert_allclose(cooccurrence(rows, prior=2.5).toarray(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("window", [1, 3, 50])
@pytest.mark.parametrize("seed", range(5))
def test_transitions_are_what_a_double_loop_counts(seed: int, window: int) -> None:
    data = random_data(seed)
    rows = TrainRows.of(data, Level.CLICK)
    counts = np.zeros((len(rows), len(rows)))
    for history in histories(rows, data, Level.CLICK):
        for left, right in itertools.combinations(range(len(history)), 2):
            if right - left <= window:
                counts[history[left], history[right]] += (right - left) ** -0.5
    expected = np.zeros_like(counts)
    for one, other in zip(*np.nonzero(counts), strict=True):
        if one != other:
            expected[one, other] = counts[one, other] / (counts[one].sum() * counts[:, other].sum()) ** 0.15
    np.testing.assert_allclose(transitions(rows, window).toarray(), expected, rtol=1e-9, atol=1e-12)


def test_only_training_rows_are_counted_and_only_their_items_are_candidates() -> None:
    data = random_data(0)
    rows = TrainRows.of(data, Level.EXPOSURE)
    log = data.log
    assert rows.item_id.tolist() == sorted(set(log.item[log.split == Split.TRAIN].tolist()))
    assert len(rows.item) == int((log.split == Split.TRAIN).sum())


def matrix(rows: TrainRows, **pairs: float) -> sp.csr_matrix:
    """`_10_20=0.5`: item 10 says 0.5 of item 20."""
    says = np.zeros((len(rows), len(rows)))
    for name, value in pairs.items():
        one, other = (int(np.searchsorted(rows.item_id, int(item))) for item in name.strip("_").split("_"))
        says[one, other] = value
    return sp.csr_matrix(says)


def test_a_list_is_the_recency_weighted_sum_and_popularity_behind() -> None:
    rows = TrainRows.of(random_data(1, items=5), Level.CLICK)
    method = ItemToItem(rows, matrix(rows, _10_30=1.0, _20_40=0.6, _20_30=0.1), longest=5, recency=0.5)
    [ranking] = method([held_out_user([10, 20, 999])])
    # 30: 0.5 * 1 + 0.1; 40: 0.6: a tie, to the lower id.
    assert ranking.item_R[:2].tolist() == [30, 40]
    popular = [int(item) for item in rows.item_id[rows.popular] if item not in (30, 40)]
    assert ranking.item_R[2:].tolist() == popular
    assert (np.diff(ranking.score_R) <= 0).all()


def test_repeats_come_first_the_last_click_foremost() -> None:
    rows = TrainRows.of(random_data(1, items=5), Level.CLICK)
    method = ItemToItem(rows, matrix(rows, _10_50=9.0, _10_20=5.0), longest=4, repeats_first=True)
    history = held_out_user([20, 10, 20, 10, 30], [3, 3, 3, 4, Level.EXPOSURE])
    [ranking] = method([history])
    assert ranking.item_R[:3].tolist() == [10, 20, 50]


@pytest.mark.parametrize("longest", [1, 2, 3, 7, 100])
def test_short_lists_are_the_beginning_of_long_ones(longest: int) -> None:
    data = random_data(2)
    rows = TrainRows.of(data, Level.EXPOSURE)
    users = [held_out_user([10, 20, 30]), held_out_user([40]), held_out_user([999])]
    says = cooccurrence(rows)
    whole = ItemToItem(rows, says, longest=len(rows))(users)
    for full, ranking in zip(whole, ItemToItem(rows, says, longest)(users), strict=True):
        assert ranking.item_R.tolist() == full.item_R[:longest].tolist()
        assert len(set(full.item_R.tolist())) == len(rows)


def test_whether_users_come_back_is_decided_on_training_clicks() -> None:
    # Ten users, two items: everybody returns.  Many items: hardly anybody does.
    assert returns_often(TrainRows.of(random_data(0, users=2, items=3, events=60), Level.CLICK))
    assert not returns_often(TrainRows.of(random_data(0, users=5, items=500, events=60), Level.CLICK))


def test_a_log_without_rows_of_the_level_is_refused() -> None:
    data = random_data(0, events=2)
    data.log.split[:] = Split.TEST
    with pytest.raises(BadDataSet, match="no training row"):
        TrainRows.of(data, Level.CLICK)
