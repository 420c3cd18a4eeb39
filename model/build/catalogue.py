"""Items of a data set to a catalogue: which items, their features, their codes, their popularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from model.build.presets import Preset
from model.data.data_set import DataSet
from model.data.popularity import trained_events, users_per_item
from model.semantic_id.catalog import Catalog
from model.semantic_id.collisions import settle_collisions
from model.semantic_id.features import ItemFeatures
from model.semantic_id.new_item_encoder import NewItemEncoder
from model.semantic_id.quantiser import Quantiser
from model.semantic_id.residual_kmeans import ResidualKMeans
from model.semantic_id.train_histories import train_histories

# Axes: N items, E events, m levels.


@dataclass(frozen=True, slots=True)
class MadeCatalog:
    """The catalogue, and what gave it its codes and will give new items theirs."""

    catalog: Catalog
    encoder: NewItemEncoder

    @property
    def features(self) -> ItemFeatures:
        """Texts to feature vectors."""
        return self.encoder.features

    @property
    def quantiser(self) -> Quantiser:
        """Feature vectors to codes."""
        return self.encoder.quantiser


def make_catalog(data: DataSet, preset: Preset, seed: int) -> MadeCatalog:
    """Semantic ids for the items of a data set, from training rows and item texts alone.

    Raises BadDataSet when there is no item to make one for.
    """
    seen_N, count_N = users_per_item(data.log, trained_events(data.log, Level.CLICK))
    chosen_N = _chosen(data, preset.most_items)
    if not len(chosen_N):
        raise BadDataSet(f"{data.name}: no item to recommend")
    row_N = np.searchsorted(data.items.item_id, chosen_N)
    histories = train_histories(data, preset.history_level, chosen_N)
    texts = [data.items.text[row] for row in row_N]
    features, features_ND = ItemFeatures.fit(texts, histories, preset.feature_dims, seed)
    sizes = level_sizes(len(chosen_N), preset)
    quantiser = ResidualKMeans.fit(features_ND, sizes, seed)
    popularity_N = np.zeros(len(chosen_N), dtype=np.float32)
    known_N = np.isin(seen_N, chosen_N)
    popularity_N[np.searchsorted(chosen_N, seen_N[known_N])] = count_N[known_N]
    codes_Nm = settle_collisions(
        quantiser.encode(features_ND),
        features_ND,
        quantiser.centroids,
        popularity_N,
        preset.max_items_per_sid,
    )
    catalog = Catalog(
        item_id=chosen_N,
        codes=codes_Nm,
        popularity=popularity_N,
        level_sizes=sizes,
        title=tuple(data.items.title[row] or data.items.text[row] for row in row_N),
    )
    return MadeCatalog(catalog, NewItemEncoder(features, quantiser))


def level_sizes(items: int, preset: Preset) -> tuple[int, ...]:
    """A power of two per level, so that all levels together hold the items with room to spare."""
    wanted = preset.code_share * items ** (1 / preset.levels)
    size = 1 << int(np.ceil(np.log2(max(wanted, 2))))
    return (min(max(size, preset.smallest_level), preset.largest_level),) * preset.levels


def _chosen(data: DataSet, most: int) -> NDArray[np.int64]:
    """Items seen in training first, those that most users saw before others, then the rest by id; sorted."""
    seen_N, count_N = users_per_item(data.log, trained_events(data.log, Level.EXPOSURE))
    seen_N = seen_N[np.argsort(-count_N, kind="stable")]
    unseen_N = np.setdiff1d(data.items.item_id, seen_N)
    chosen_N: NDArray[np.int64] = np.sort(np.concatenate([seen_N, unseen_N])[:most])
    return chosen_N
