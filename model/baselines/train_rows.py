"""The training rows that a baseline is fitted on, items numbered from 0: what was done, by whom, in which order."""

# Shapes: E events, N items.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from model.data.arrays import Float32, Int8, Int32, Int64
from model.data.data_set import DataSet
from model.data.log import InteractionLog
from model.data.popularity import trained_events, users_per_item


@dataclass(frozen=True, slots=True, eq=False)
class TrainRows:
    """Training events of at least one level; the candidates are all items that training rows show at any level."""

    item_id: Int64
    """[N] sorted."""
    popularity: Float32
    """[N] users who clicked the item or did more."""
    popular: Int64
    """[N] all rows, most popular first, ties to the lower id."""
    user: Int32
    """[E] not falling."""
    item: Int64
    """[E] rows into `item_id`; a user's events oldest first, as far as the log knows an order."""
    level: Int8
    """[E]"""

    @classmethod
    def of(cls, data: DataSet, level: Level) -> TrainRows:
        """Rows of level `level` or more.  Raises BadDataSet where there is none."""
        return cls.of_log(data.log, data.name, level)

    @classmethod
    def of_log(cls, log: InteractionLog, name: str, level: Level) -> TrainRows:
        """The same of a log alone; `name` is what an error calls it."""
        shown_E, used_E = trained_events(log, Level.EXPOSURE), trained_events(log, level)
        if not used_E.any():
            raise BadDataSet(f"{name}: no training row of level {level.name.lower()} or more to fit on")
        item_id = np.unique(log.item[shown_E])
        clicked, users = users_per_item(log, trained_events(log, Level.CLICK))
        popularity = np.zeros(len(item_id), np.float32)
        popularity[np.searchsorted(item_id, clicked)] = users
        item = np.searchsorted(item_id, log.item[used_E])
        popular = np.argsort(-popularity, kind="stable")
        return cls(item_id, popularity, popular, log.user[used_E], item, log.level[used_E])

    def __len__(self) -> int:
        return len(self.item_id)

    def rows_of(self, items: Int64) -> Int64:
        """Row of each item, -1 where training never showed it."""
        row = np.minimum(np.searchsorted(self.item_id, items), len(self.item_id) - 1)
        return np.where(self.item_id[row] == items, row, -1).astype(np.int64)
