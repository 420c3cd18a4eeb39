"""Fallback lists: the most popular items, over all and per scene, from training rows alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contracts.behaviors import Level
from contracts.manifest import PopularList
from model.data.data_set import DataSet
from model.data.log import InteractionLog
from model.data.popularity import trained_events, users_per_item
from model.semantic_id.catalog import Catalog


def popular_lists(data: DataSet, catalog: Catalog, most: int) -> PopularList:
    """Items by the number of users who clicked or did more; ties, and items without any, by lower id."""
    log = data.log
    counted_E = trained_events(log, Level.CLICK)
    scenes = {
        name: _ranked(catalog, log, counted_E & (log.scene == index), most) for index, name in enumerate(log.scenes)
    }
    return PopularList(default=_ranked(catalog, log, counted_E, most), scenes=scenes)


def _ranked(catalog: Catalog, log: InteractionLog, counted_E: NDArray[np.bool_], most: int) -> tuple[int, ...]:
    item_K, users_K = users_per_item(log, counted_E)
    row_K = catalog.rows_of(item_K)
    users_N = np.zeros(len(catalog), dtype=np.int64)
    users_N[row_K[row_K >= 0]] = users_K[row_K >= 0]
    order_N = np.lexsort((catalog.item_id, -users_N))[:most]
    return tuple(catalog.item_id[order_N].tolist())
