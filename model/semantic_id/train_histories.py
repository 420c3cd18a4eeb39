"""Which items stand near which, for the co-occurrence features: train rows of a data set, user by user.

Called when semantic ids are made and measured.  `train_histories` never hands on a validation or test row.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from contracts.behaviors import Level
from model.data.data_set import DataSet
from model.data.log import Split

Int64s = npt.NDArray[np.int64]


def train_histories(data: DataSet, weakest: Level = Level.CLICK, items: Int64s | None = None) -> list[Int64s]:
    """Per user with train events of level `weakest` or more: rows into `items`, in the log's order.

    `items`: sorted ids, those of data.items where left out; events of other items are passed over.
    A log without order gives what a user touched in the order of its rows: near each other all the same.
    """
    return histories(data, weakest, data.items.item_id if items is None else items, (Split.TRAIN,))


def histories(data: DataSet, weakest: Level, items: Int64s, splits: Collection[Split]) -> list[Int64s]:
    """The same from the rows of these splits."""
    log = data.log
    used_E = np.isin(log.split, list(splits)) & (log.level >= weakest) & np.isin(log.item, items)
    row_E = np.searchsorted(items, log.item[used_E]).astype(np.int64)
    starts = np.flatnonzero(np.diff(log.user[used_E])) + 1
    return [rows for rows in np.split(row_E, starts) if rows.size]
