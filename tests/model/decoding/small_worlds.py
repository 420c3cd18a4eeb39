"""Small random models, catalogues and prompts for the decoding tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from model.decoding.request import DecodeRequest
from model.network.config import NeighbourOrder, RankGRConfig
from model.network.network import RankGRNetwork, network_from
from model.semantic_id.catalog import Catalog, Int64s
from model.semantic_id.neighbours import Neighbours

SPECIALS = 5


@dataclass(frozen=True, slots=True)
class World:
    """What a random world is made of; every field has a default worth varying alone."""

    sizes: tuple[int, ...] = (6, 7)
    items: int = 40
    mode: Literal["mha", "literal"] = "mha"
    mlp_input: Literal["attn", "attn_query"] = "attn"
    keys: Literal["items", "all"] = "items"
    scope: Literal["prefix", "request"] = "prefix"
    iap_mix: float = 0.0
    cap: int = 2
    kv_heads: int = 2
    dtype: torch.dtype = torch.float64
    seed: int = 0
    beams: tuple[int, ...] = field(default=())
    lambdas: tuple[int, ...] = field(default=())
    order: NeighbourOrder | None = None

    def config(self) -> RankGRConfig:
        # Level slices in another order than the levels, with gaps: nothing may rely on their place.
        starts = np.cumsum([SPECIALS, *(size + 2 for size in self.sizes[::-1])])[:-1][::-1]
        literal = self.mode == "literal"
        return RankGRConfig.create(
            hidden_size=16,
            layers=2,
            heads=4,
            kv_heads=self.kv_heads,
            intermediate_size=24,
            vocab_size=SPECIALS + sum(self.sizes) + 2 * len(self.sizes),
            max_position=48,
            levels=[{"size": size, "token_offset": int(start)} for size, start in zip(self.sizes, starts, strict=True)],
            special_tokens={"pad": 0, "marker": 1, "behavior:exposure": 2, "behavior:click": 3},
            prompt={"max_tokens": 40, "block_tokens": 4},
            rank_head={
                "mode": self.mode,
                "heads": 1 if literal else 2,
                "dim": 16 if literal else 6,
                "mlp_hidden": 10,
                "mlp_input": self.mlp_input,
                "keys": self.keys,
            },
            decode={
                "beams": self.beams or (3,) * len(self.sizes),
                "lambdas": self.lambdas or (4,) * len(self.sizes),
                "lambda_scope": self.scope,
                "iap_mix": self.iap_mix,
                "max_items_per_sid": self.cap,
                "neighbours": self.order,
            },
        )

    def network(self) -> RankGRNetwork:
        network = network_from(self.config(), self.seed)
        chance = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn(weight.shape, generator=chance) * 0.4)
        return network.to(self.dtype)

    def catalog(self) -> Catalog:
        chance = np.random.default_rng(self.seed)
        return Catalog(
            item_id=np.sort(chance.choice(1000, self.items, replace=False)).astype(np.int64),
            codes=np.stack([chance.integers(0, size, self.items) for size in self.sizes], 1).astype(np.int32),
            # Few distinct values, so that the item id has to break ties.
            popularity=chance.integers(0, 3, self.items).astype(np.float32),
            level_sizes=self.sizes,
        )

    def neighbours(self) -> Neighbours:
        """Of half of the items, some of which the catalogue does not have."""
        return random_neighbours(self.catalog(), self.seed)


def random_neighbours(catalog: Catalog, seed: int) -> Neighbours:
    """Half of the items and two that the catalogue does not have, with one to five neighbours each."""
    chance = np.random.default_rng(seed)
    known = chance.choice(catalog.item_id, len(catalog) // 2, replace=False)
    strange = catalog.item_id[-1] + np.array([5, 7])
    from_item = np.sort(np.concatenate([known, strange])).astype(np.int64)
    start = np.concatenate([[0], np.cumsum(chance.integers(1, 6, len(from_item)))]).astype(np.int64)
    to_item = chance.choice(np.concatenate([catalog.item_id, strange]), int(start[-1])).astype(np.int64)
    return Neighbours(from_item, start, to_item, chance.uniform(0.1, 2.0, len(to_item)).astype(np.float32))


def history_prompt(catalog: Catalog, config: RankGRConfig, rows: Sequence[int], shown: Sequence[bool]) -> Int64s:
    """These rows' items, each behind a token that tells whether it was shown alone, and the marker."""
    offsets = [part.token_offset for part in config.levels]
    tokens = [
        token
        for row, only in zip(rows, shown, strict=True)
        for token in (2 if only else 3, *(catalog.codes[row] + offsets).tolist())
    ]
    return np.array([*tokens, 1], np.int64)


def prompt(config: RankGRConfig, length: int, seed: int, context: int = 2) -> Int64s:
    """Random codes of random levels, then `context` special tokens."""
    chance = np.random.default_rng(seed)
    parts = [config.levels[number] for number in chance.integers(0, len(config.levels), length)]
    codes = [part.token_offset + int(chance.integers(0, part.size)) for part in parts]
    codes[length - context :] = chance.integers(0, SPECIALS, context).tolist()
    return np.array(codes, dtype=np.int64)


def requests_of(config: RankGRConfig, catalog: Catalog, seed: int = 0) -> list[DecodeRequest]:
    """Requests of mixed lengths, widths and exclusions, as they meet in one batch."""
    chance = np.random.default_rng(seed)
    levels = len(config.levels)
    all_items = catalog.item_id.tolist()
    some = frozenset(chance.choice(all_items, len(all_items) // 3, replace=False).tolist())
    return [
        DecodeRequest(prompt(config, 30, seed)),
        DecodeRequest(prompt(config, 1, seed + 1, context=1)),
        DecodeRequest(prompt(config, 17, seed + 2, context=0), beams=(1,) * levels, lambdas=(1,) * levels),
        DecodeRequest(prompt(config, 9, seed + 3), beams=(1000,) * levels, lambdas=(1000,) * levels),
        DecodeRequest(prompt(config, 40, seed + 4), exclude=some | {-1, 10**12}, beams=(2, *(5,) * (levels - 1))),
        DecodeRequest(prompt(config, 12, seed + 5), max_items=3, lambdas=(5, *(2,) * (levels - 1))),
        DecodeRequest(prompt(config, 12, seed + 6), lambda_scope="request", iap_mix=0.5),
    ]
