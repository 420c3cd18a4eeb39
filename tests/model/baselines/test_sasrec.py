"""SASRec sees only the past, learns a planted order and to repeat, stops by itself, and repeats with its seed."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from contracts.progress import Silent
from model.baselines.fit import BaselineConfig, Method, fit_baseline
from model.baselines.sasrec import SasRecConfig, SasRecNetwork, _sequences, fit_sasrec
from model.baselines.train_rows import TrainRows
from model.data.data_set import DataSet
from model.data.hold_out import hold_out_last
from model.data.log import Split
from model.data.timelines import held_out

from .worlds import held_out_user, random_data

SMALL = SasRecConfig(width=16, layers=1, heads=2, dropout=0.1, length=6, epochs=12, batch_events=32, learning_rate=1e-2)


def rows_of(histories: list[list[int]], items: int) -> TrainRows:
    """Clicks on the items 0 .. items - 1, whose ids are 10, 20, ..."""
    item = np.array([item for own in histories for item in own], np.int64)
    popularity = np.bincount(item, minlength=items).astype(np.float32)
    return TrainRows(
        item_id=10 * np.arange(1, items + 1),
        popularity=popularity,
        popular=np.argsort(-popularity, kind="stable"),
        user=np.repeat(np.arange(len(histories), dtype=np.int32), [len(own) for own in histories]),
        item=item,
        level=np.full(len(item), 3, np.int8),
    )


def circle(users: int = 60, items: int = 7, length: int = 5, seed: int = 0) -> TrainRows:
    """Everybody walks once around: after item i comes item i + 1."""
    start_U = np.random.default_rng(seed).integers(0, items, users)
    item_UT = (start_U[:, None] + np.arange(length)) % items
    return rows_of(item_UT.tolist(), items)


def test_a_state_does_not_depend_on_what_comes_later() -> None:
    torch.manual_seed(0)
    network = SasRecNetwork(9, SMALL).eval()
    first, second = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 2, 9, 5]])
    torch.testing.assert_close(network(first)[:, :2], network(second)[:, :2])
    # Padding behind is later too: a history alone and padded are the same.
    torch.testing.assert_close(network(torch.tensor([[1, 2, 0, 0]]))[:, :2], network(torch.tensor([[1, 2]])))


def test_it_learns_what_follows() -> None:
    rows = circle()
    users = [held_out_user([10 * (1 + (start + step) % 7) for step in range(4)]) for start in range(7)]
    found = fit_sasrec(rows, [], SMALL, longest=3, progress=Silent())(users)
    assert [int(ranking.item_R[0]) for ranking in found] == [10 * (1 + (start + 4) % 7) for start in range(7)]


def test_equal_seeds_give_equal_lists_and_validation_keeps_the_best() -> None:
    rows = circle()
    users = [held_out_user([10, 20, 30]), held_out_user([999]), held_out_user([70])]
    one, same, other = (
        fit_sasrec(rows, users[:1], dataclasses.replace(SMALL, seed=seed), 7, Silent())(users) for seed in (0, 0, 1)
    )
    for ranking, again in zip(one, same, strict=True):
        np.testing.assert_array_equal(ranking.item_R, again.item_R)
        np.testing.assert_array_equal(ranking.score_R, again.score_R)
    assert any((a.score_R != b.score_R).any() for a, b in zip(one, other, strict=True))


def test_chance_elsewhere_is_left_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fit_sasrec(circle(users=8), [], SMALL, 3, Silent())
    torch.testing.assert_close(torch.rand(3), expected)


def test_users_with_a_single_event_teach_nothing() -> None:
    with pytest.raises(BadDataSet, match="two training events"):
        fit_sasrec(circle(length=1), [], SMALL, 3, Silent())


@given(
    histories=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=20), min_size=1, max_size=4),
    length=st.integers(1, 7),
)
def test_every_event_is_predicted_once_from_what_was_before_it(histories: list[list[int]], length: int) -> None:
    rows = rows_of(histories, 6)
    vocabulary = np.unique(rows.item)
    pieces = _sequences(rows, vocabulary, length)
    assert max(len(piece) - 1 for piece in pieces) <= length
    pairs = [pair for piece in pieces for pair in zip(piece[:-1].tolist(), piece[1:].tolist(), strict=True)]
    code_of = {item: code for code, item in enumerate(vocabulary.tolist(), start=1)}
    expected = [pair for own in histories for pair in pairwise([0, *(code_of[item] for item in own)])]
    assert sorted(pairs) == sorted(expected)


def test_a_user_of_a_single_event_teaches_what_comes_first() -> None:
    rows = rows_of([[0, 1, 2]] * 10 + [[3]] * 30, 4)
    [ranking] = fit_sasrec(rows, [], SMALL, 4, Silent())([held_out_user([999])])
    assert ranking.item_R[0] == 40


class Told(Silent):
    """Remembers how many epochs each training was given."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def begin(self, stage: str, total: int) -> None:
        assert stage == "training SASRec"
        self.epochs.append(total)


def test_without_validation_rows_the_last_training_requests_say_when_to_stop() -> None:
    config = BaselineConfig(longest=5, sasrec=dataclasses.replace(SMALL, epochs=9, patience=2))
    data, told = random_data(0), Told()
    fit_baseline(Method.SASREC, data, config, told)
    lent = hold_out_last(data)
    asked = list(held_out(lent, Split.VALID, Level.CLICK))
    counted = dataclasses.replace(config.sasrec, stop_on="HR@20")
    best = fit_sasrec(TrainRows.of(lent, Level.CLICK), asked, counted, 5, Silent()).epochs
    assert told.epochs == [9, best]
    assert best < 9


def test_held_out_rows_change_nothing() -> None:
    config = BaselineConfig(longest=5, sasrec=dataclasses.replace(SMALL, epochs=4))
    data = random_data(0)
    other = np.where(data.log.split == Split.TEST, 90 - data.log.item, data.log.item)
    moved = DataSet(data.name, dataclasses.replace(data.log, item=other), data.items)
    user = [held_out_user([10, 20, 30])]
    [one], [same] = (fit_baseline(Method.SASREC, each, config, Silent())(user) for each in (data, moved))
    np.testing.assert_array_equal(one.score_R, same.score_R)
