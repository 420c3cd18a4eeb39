"""Items of a data set to semantic ids: which items, their features, their codes, their popularity, and the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from contracts.progress import Progress, Silent
from model.build.source import fingerprint
from model.bundle.semantic_ids import Facts, SemanticIds
from model.data.data_set import DataSet
from model.data.log import Split
from model.data.popularity import trained_events, users_per_item
from model.semantic_id.catalog import Catalog
from model.semantic_id.collisions import check_room, settle_collisions
from model.semantic_id.cooccurrence import cooccurrence_counts, likely_pairs
from model.semantic_id.evidence import Evidence, RelatedItems
from model.semantic_id.features import FeatureRecipe, ItemFeatures
from model.semantic_id.new_item_encoder import NewItemEncoder
from model.semantic_id.quantiser import Float32s
from model.semantic_id.quantisers import fit_quantiser
from model.semantic_id.sentence_encoder import SentenceEncoder
from model.semantic_id.settings import SidSettings
from model.semantic_id.train_histories import histories, train_histories

# Shapes: N items, D feature dimensions, E events, M levels, P pairs.
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class MadeSids:
    """The ids, the vectors that the quantiser was given, Float32[N, D], and how many of them came by chance:

    items without a text that stand in no history beside another.
    """

    sids: SemanticIds
    features_ND: Float32s
    unknown: int


def make_semantic_ids(
    data: DataSet,
    settings: SidSettings,
    progress: Progress | None = None,
    encoder: SentenceEncoder | None = None,
) -> MadeSids:
    """Semantic ids for the items of a data set, from training rows and item texts alone.

    encoder: turns the texts into vectors; without one their words do.

    Raises BadDataSet when there is no item to make one for, and where there are more items than places.
    """
    shown = progress or Silent()
    item_id = chosen_items(data, settings)
    check_room(len(item_id), settings.level_sizes, settings.cap)
    row_N = np.searchsorted(data.items.item_id, item_id)
    shown.begin("item features", 2)
    walks = train_histories(data, settings.history_level, item_id)
    shown.advance(1)
    texts = [data.items.text[row] for row in row_N]
    features, features_ND = ItemFeatures.fit(
        texts,
        walks,
        FeatureRecipe(settings.dims, settings.seed, settings.text_share, settings.window),
        encoder,
    )
    shown.advance(1)
    pairs_P2 = np.empty((0, 2), np.int64)
    if settings.method == "rqvae":
        pairs_P2 = likely_pairs(cooccurrence_counts(walks, len(item_id), settings.window))
    quantiser = fit_quantiser(features_ND, pairs_P2, settings, shown)
    popularity_N = popularity_of(data, item_id)
    shown.begin("codes", 2)
    codes_NM = quantiser.encode(features_ND)
    shown.advance(1)
    # A rank has to tell apart what nobody clicked, too: most items of a log of lists were only ever shown.
    first_N = popularity_N if settings.last_level == "nearest" else popularity_of(data, item_id, Level.EXPOSURE)
    codes_NM = settle_collisions(codes_NM, quantiser.latent(features_ND), quantiser.codebooks, first_N, settings.cap)
    shown.advance(1)
    catalog = Catalog(
        item_id=item_id,
        codes=codes_NM,
        popularity=popularity_N,
        level_sizes=settings.level_sizes,
        title=tuple(data.items.title[row] or data.items.text[row] for row in row_N),
    )
    sids = SemanticIds(catalog, NewItemEncoder(features, quantiser), settings.as_json(), _facts(data))
    return MadeSids(sids, features_ND, _unknown(texts, walks))


def gather_evidence(data: DataSet, settings: SidSettings, made: MadeSids) -> Evidence:
    """What a report needs: the vectors, and which items go together in training rows and in rows held out."""
    relations = related_items(data, settings, made.sids.catalog.item_id)
    return Evidence(made.features_ND.astype(np.float16), relations)


def related_items(data: DataSet, settings: SidSettings, item_id: Int64s) -> dict[str, RelatedItems]:
    """`train`: items near each other in the rows that made the ids; `valid`: pairs that a validation row makes."""
    items, level = len(item_id), settings.history_level
    train = cooccurrence_counts(histories(data, level, item_id, (Split.TRAIN,)), items, settings.window)
    both = cooccurrence_counts(histories(data, level, item_id, (Split.TRAIN, Split.VALID)), items, settings.window)
    held_out = sp.csr_matrix(both - train)
    held_out.data[held_out.data < 0] = 0
    held_out.eliminate_zeros()
    found = {
        "train": RelatedItems.of_counts(train, settings.seed),
        "valid": RelatedItems.of_counts(held_out, settings.seed),
    }
    return {name: related for name, related in found.items() if len(related)}


def chosen_items(data: DataSet, settings: SidSettings) -> Int64s:
    """Ids of the items that get semantic ids, sorted.

    Items seen in training first, those that most users saw before others, then the rest by id, unless only the seen
    are wanted.  Raises BadDataSet where that is none.
    """
    seen_K, count_K = users_per_item(data.log, trained_events(data.log, Level.EXPOSURE))
    wanted = seen_K[np.argsort(-count_K, kind="stable")]
    if settings.items == "all":
        wanted = np.concatenate([wanted, np.setdiff1d(data.items.item_id, seen_K)])
    chosen: Int64s = np.sort(wanted[: settings.most_items or None])
    if not len(chosen):
        raise BadDataSet(f"{data.name}: no item to recommend")
    return chosen


def popularity_of(data: DataSet, item_id: Int64s, level: Level = Level.CLICK) -> Float32s:
    """Users who clicked each item or did more (or what `level` says, or more), in training rows: Float32[N]."""
    seen_K, count_K = users_per_item(data.log, trained_events(data.log, level))
    popularity_N = np.zeros(len(item_id), np.float32)
    known_K = np.isin(seen_K, item_id)
    popularity_N[np.searchsorted(item_id, seen_K[known_K])] = count_K[known_K]
    return popularity_N


def _unknown(texts: Sequence[str], walks: Sequence[Int64s]) -> int:
    known_N = np.asarray([bool(text.strip()) for text in texts], np.bool_)
    for rows in walks:
        # Whoever stands alone keeps no company that would say something.
        if (rows != rows[0]).any():
            known_N[rows] = True
    return int((~known_N).sum())


def _facts(data: DataSet) -> Facts:
    return {
        "name": data.name,
        "users": len(data.log.users),
        "interactions": len(data.log.item),
        "sha256": fingerprint(data),
    }
