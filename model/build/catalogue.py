"""Semantic ids as a recipe wants them: how many codes for so many items."""

from __future__ import annotations

import dataclasses

import numpy as np

from model.build.recipe import Recipe, SemanticIdConfig
from model.build.semantic_ids import chosen_items, make_semantic_ids
from model.bundle.semantic_ids import SemanticIds
from model.data.data_set import DataSet
from model.semantic_id.settings import SidSettings


def make_catalog(data: DataSet, recipe: Recipe, seed: int) -> SemanticIds:
    """Semantic ids for the items of a data set, from training rows and item texts alone.

    Raises BadDataSet when there is no item to make one for.
    """
    ids = recipe.semantic_ids
    settings = SidSettings(
        method=ids.method,
        last_level=ids.last_level,
        cap=ids.max_items_per_sid,
        dims=ids.feature_dims,
        text_share=ids.text_share,
        window=ids.window,
        history_level=recipe.prompt.history_level,
        items=ids.items,
        most_items=ids.most_items,
        seed=seed,
    )
    sizes = level_sizes(len(chosen_items(data, settings)), ids)
    return make_semantic_ids(data, dataclasses.replace(settings, level_sizes=sizes)).sids


def level_sizes(items: int, ids: SemanticIdConfig) -> tuple[int, ...]:
    """As asked for; else a power of two per level, so that all levels together hold the items with room to spare."""
    if ids.sizes:
        return ids.sizes
    wanted = ids.code_share * items ** (1 / ids.levels)
    size = 1 << int(np.ceil(np.log2(max(wanted, 2))))
    return (min(max(size, ids.smallest_level), ids.largest_level),) * ids.levels
