"""Small bundles that take new items: a marketplace's catalogue and features, weights of no training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from contracts.manifest import PopularList
from model.build.semantic_ids import make_semantic_ids
from model.bundle.new_items import feature_files
from model.bundle.write import write_bundle
from model.data.data_set import DataSet
from model.data.synthetic import make_marketplace
from model.semantic_id.sentence_encoder import SentenceEncoder
from model.semantic_id.settings import Method, RqVaeSettings, SidSettings

from .contents import SIZES, contents

ITEMS, CAP = 80, 5
SHORT = RqVaeSettings(latent=8, hidden=16, steps=60, warm_up=10, batch=32)


def market() -> DataSet:
    """80 items; 24 ids of 5 leave room for 40 more."""
    return make_marketplace(users=40, items=ITEMS, seed=3)


def write_growing(
    directory: Path, seed: int = 0, *, method: Method = "rkmeans", encoder: SentenceEncoder | None = None
) -> Path:
    """A bundle of this seed's weights; its quantiser is the method's, its features come from the encoder's vectors."""
    settings = SidSettings(level_sizes=SIZES, cap=CAP, dims=16, method=method, rqvae=SHORT)
    made = make_semantic_ids(market(), settings, encoder=encoder).sids
    first = made.catalog.item_id.tolist()
    content = dataclasses.replace(
        contents(seed),
        catalog=made.catalog,
        quantiser=made.quantiser.to_arrays(),
        features=feature_files(made.features),
        popular=PopularList(default=tuple(first[:4]), scenes={"home": tuple(first[2:4]), "search": (first[0],)}),
    )
    write_bundle(content, directory)
    return directory
