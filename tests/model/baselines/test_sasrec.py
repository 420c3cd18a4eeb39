"""SASRec sees only the past, learns a planted order, and gives the same weights for the same seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from contracts.errors import BadDataSet
from contracts.progress import Silent
from model.baselines.sasrec import SasRecConfig, SasRecNetwork, fit_sasrec
from model.baselines.train_rows import TrainRows

from .worlds import held_out_user

SMALL = SasRecConfig(width=16, layers=1, heads=2, dropout=0.1, length=6, epochs=12, batch_events=32, learning_rate=1e-2)


def circle(users: int = 60, items: int = 7, length: int = 5, seed: int = 0) -> TrainRows:
    """Everybody walks once around: after item i comes item i + 1."""
    start_U = np.random.default_rng(seed).integers(0, items, users)
    item = ((start_U[:, None] + np.arange(length)) % items).ravel()
    popularity = np.bincount(item, minlength=items).astype(np.float32)
    return TrainRows(
        item_id=10 * np.arange(1, items + 1),
        popularity=popularity,
        popular=np.argsort(-popularity, kind="stable"),
        user=np.repeat(np.arange(users, dtype=np.int32), length),
        item=item,
        level=np.full(users * length, 3, np.int8),
    )


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
