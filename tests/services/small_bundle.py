"""A bundle of random weights over a few items, for tests that wire whole processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contracts.manifest import Manifest, PopularList
from model.bundle.read import Bundle
from model.network.config import RankGRConfig
from model.network.network import network_from
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog

SIZES = (4, 5)


def bundle_of(items: int) -> Bundle:
    """Random weights over so many items."""
    fmt = PromptFormat.create(SIZES, ["home"], max_tokens=64, block_tokens=8)
    codes = np.array([[row % SIZES[0], row % SIZES[1]] for row in range(items)], np.int32).reshape(-1, 2)
    catalog = Catalog(np.arange(100, 100 + items, dtype=np.int64), codes, np.ones(items, np.float32), SIZES)
    config = RankGRConfig.create(
        hidden_size=16,
        layers=1,
        heads=2,
        kv_heads=1,
        intermediate_size=24,
        vocab_size=fmt.vocab_size,
        max_position=80,
        levels=[{"size": size, "token_offset": offset} for size, offset in zip(SIZES, fmt.token_offsets, strict=True)],
        special_tokens=fmt.special_tokens,
        prompt={"max_tokens": 64, "block_tokens": 8},
        rank_head={"heads": 2, "dim": 4, "mlp_hidden": 8},
        decode={"beams": (4, 10), "lambdas": (4, 5)},
    )
    manifest = Manifest(
        model_version="m1", catalog_version=catalog.version, created_at="", data={}, metrics={}, files={}
    )
    weights = network_from(config, 3).state_dict()
    return Bundle(Path("nowhere"), manifest, config, fmt, catalog, PopularList(default=()), weights)
