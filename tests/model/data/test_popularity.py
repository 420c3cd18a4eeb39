"""Popularity counts users, not events."""

from __future__ import annotations

import numpy as np

from contracts.behaviors import Level
from model.data.popularity import trained_events, users_per_item
from model.data.synthetic import make_marketplace


def test_every_item_s_users_are_counted_once() -> None:
    log = make_marketplace(users=40, items=60, seed=3).log
    counted = trained_events(log, Level.CLICK)
    wanted: dict[int, set[int]] = {}
    for place in np.flatnonzero(counted).tolist():
        wanted.setdefault(int(log.item[place]), set()).add(int(log.user[place]))
    items, users = users_per_item(log, counted)
    assert dict(zip(items.tolist(), users.tolist(), strict=True)) == {item: len(who) for item, who in wanted.items()}
    assert (users < np.bincount(np.searchsorted(items, log.item[counted]))).any()
