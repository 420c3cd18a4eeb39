"""Small random logs, and users with histories, for the baselines' oracles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.behaviors import Level
from model.baselines.train_rows import TrainRows
from model.data.assemble_log import Named, RawEvents, assemble_log, nobody_knows
from model.data.data_set import DataSet
from model.data.items import ItemTable
from model.data.log import Split
from model.data.timelines import HeldOut, RequestCircumstances

BEHAVIORS = ("exposure", "click", "purchase")


def random_data(seed: int, users: int = 6, items: int = 8, events: int = 60) -> DataSet:
    """Events of all levels in train and test; item ids are 10, 20, 30 ..."""
    rng = np.random.default_rng(seed)
    log = assemble_log(
        RawEvents(
            user=Named(tuple(f"user-{number}" for number in range(users)), rng.integers(0, users, events, np.int32)),
            item=10 * rng.integers(1, items + 1, events),
            behavior=Named(BEHAVIORS, rng.integers(0, len(BEHAVIORS), events, np.int32)),
            timestamp=1_700_000_000 + np.arange(events),
            request=np.arange(events),
            split=np.where(np.arange(events) < 0.8 * events, Split.TRAIN, Split.TEST).astype(np.int8),
            scene=nobody_knows(events),
            device=nobody_knows(events),
        )
    )
    ids = 10 * np.arange(1, items + 1)
    texts = tuple(f"Thing {item}" for item in ids)
    return DataSet("random", log, ItemTable(ids, texts, texts))


def histories(rows: TrainRows, data: DataSet, level: Level) -> list[list[int]]:
    """Per user of the log the item rows of its training events, oldest first, by a plain loop."""
    log = data.log
    found: list[list[int]] = [[] for _ in log.users]
    for event in range(len(log.item)):
        if log.split[event] == Split.TRAIN and log.level[event] >= level:
            found[log.user[event]].append(int(np.searchsorted(rows.item_id, log.item[event])))
    return found


def held_out_user(items: Sequence[int], levels: Sequence[int] | None = None, name: str = "u") -> HeldOut:
    """A user with this history, all clicks unless told."""
    return HeldOut(
        user=name,
        items=np.array(items, np.int64),
        levels=np.array(levels if levels is not None else [Level.CLICK] * len(items), np.int8),
        timestamps=np.arange(len(items)),
        circumstances=RequestCircumstances(scene=None, timestamp_s=None, device=None),
        truth={"click": frozenset({10})},
    )
