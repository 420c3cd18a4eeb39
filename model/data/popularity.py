"""How many users wanted an item: a user who clicks it twenty times counts once.

Called when a bundle is built, for the catalogue's order and the fallback lists.
"""

# Shapes: E events, P distinct (user, item) pairs, N items.

from __future__ import annotations

import numpy as np

from contracts.behaviors import Level
from model.data.arrays import Bool, Int64
from model.data.log import InteractionLog, Split


def trained_events(log: InteractionLog, level: Level) -> Bool:
    """[E] which events are training rows of at least this level."""
    counted: Bool = (log.level >= level) & (log.split == Split.TRAIN)
    return counted


def users_per_item(log: InteractionLog, counted_E: Bool) -> tuple[Int64, Int64]:
    """Item ids [N], sorted, and the number of distinct users among the counted events of each [N]."""
    pair_P2 = np.unique(np.column_stack([log.item[counted_E], log.user[counted_E].astype(np.int64)]), axis=0)
    item_N, users_N = np.unique(pair_P2[:, 0], return_counts=True)
    return item_N, users_N.astype(np.int64)
