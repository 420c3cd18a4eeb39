"""Fallback lists: the most popular items, over all and per scene, from training rows alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from contracts.behaviors import Level
from contracts.manifest import PopularList
from model.data.log import InteractionLog
from model.data.popularity import trained_events, users_per_item
from model.semantic_id.catalog import Catalog


def popular_lists(logs: Iterable[InteractionLog], catalog: Catalog, most: int) -> PopularList:
    """Items by the number of users who clicked or did more; ties, and items without any, by lower id.

    logs: the whole log, or shards of it with whole users in each.
    """
    default_N = np.zeros(len(catalog), np.int64)
    scenes: dict[str, NDArray[np.int64]] = {}
    for log in logs:
        counted_E = trained_events(log, Level.CLICK)
        default_N += _users(catalog, log, counted_E)
        for index, name in enumerate(log.scenes):
            scene_N = _users(catalog, log, counted_E & (log.scene == index))
            scenes[name] = scenes[name] + scene_N if name in scenes else scene_N
    return PopularList(
        default=_ranked(catalog, default_N, most),
        scenes={name: _ranked(catalog, scenes[name], most) for name in sorted(scenes)},
    )


def _users(catalog: Catalog, log: InteractionLog, counted_E: NDArray[np.bool_]) -> NDArray[np.int64]:
    item_K, users_K = users_per_item(log, counted_E)
    row_K = catalog.rows_of(item_K)
    users_N = np.zeros(len(catalog), dtype=np.int64)
    users_N[row_K[row_K >= 0]] = users_K[row_K >= 0]
    return users_N


def _ranked(catalog: Catalog, users_N: NDArray[np.int64], most: int) -> tuple[int, ...]:
    order_N = np.lexsort((catalog.item_id, -users_N))[:most]
    return tuple(catalog.item_id[order_N].tolist())
