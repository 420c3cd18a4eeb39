"""Train histories: train rows of enough weight alone, user by user, in the log's order."""

from __future__ import annotations

import numpy as np

from contracts.behaviors import Level
from model.data.log import Split
from model.data.synthetic import make_marketplace
from model.semantic_id.train_histories import train_histories


def test_they_hold_train_rows_of_enough_weight_in_order_and_nothing_else() -> None:
    data = make_marketplace(users=60, items=80, seed=0)
    log, item_id = data.log, data.items.item_id.tolist()
    expected: dict[int, list[int]] = {}
    events = zip(log.user.tolist(), log.item.tolist(), log.level.tolist(), log.split.tolist(), strict=True)
    for user, item, level, split in events:
        if split == Split.TRAIN and level >= Level.CLICK:
            expected.setdefault(user, []).append(item_id.index(item))
    found = train_histories(data)
    assert [rows.tolist() for rows in found] == list(expected.values())
    assert all(rows.dtype == np.int64 for rows in found)


def test_a_weaker_level_lets_more_in() -> None:
    data = make_marketplace(users=60, items=80, seed=0)
    clicks = sum(len(rows) for rows in train_histories(data))
    exposures = sum(len(rows) for rows in train_histories(data, Level.EXPOSURE))
    assert exposures > clicks > 0


def test_of_chosen_items_alone_the_rows_are_those_of_the_choice() -> None:
    data = make_marketplace(users=60, items=80, seed=0)
    chosen = data.items.item_id[10:40]
    every, some = train_histories(data), train_histories(data, items=chosen)
    expected = [[row - 10 for row in rows.tolist() if 10 <= row < 40] for rows in every]
    assert [rows.tolist() for rows in some] == [rows for rows in expected if rows]
