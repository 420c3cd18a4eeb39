"""Semantic ids as a preset wants them: how many codes for so many items."""

from __future__ import annotations

import dataclasses

import numpy as np

from model.build.presets import Preset
from model.build.semantic_ids import chosen_items, make_semantic_ids
from model.bundle.semantic_ids import SemanticIds
from model.data.data_set import DataSet
from model.semantic_id.settings import SidSettings


def make_catalog(data: DataSet, preset: Preset, seed: int) -> SemanticIds:
    """Semantic ids for the items of a data set, from training rows and item texts alone.

    Raises BadDataSet when there is no item to make one for.
    """
    settings = SidSettings(
        cap=preset.max_items_per_sid,
        dims=preset.feature_dims,
        history_level=preset.history_level,
        most_items=preset.most_items,
        seed=seed,
    )
    sizes = level_sizes(len(chosen_items(data, settings)), preset)
    return make_semantic_ids(data, dataclasses.replace(settings, level_sizes=sizes)).sids


def level_sizes(items: int, preset: Preset) -> tuple[int, ...]:
    """A power of two per level, so that all levels together hold the items with room to spare."""
    wanted = preset.code_share * items ** (1 / preset.levels)
    size = 1 << int(np.ceil(np.log2(max(wanted, 2))))
    return (min(max(size, preset.smallest_level), preset.largest_level),) * preset.levels
