"""Bundles of random weights that vLLM takes: heads of 32, a trie with gaps, prompts of random items."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from contracts.manifest import PopularList
from model.bundle.read import WEIGHTS_FILE, Bundle, read_bundle
from model.bundle.write import BundleContents, write_bundle
from model.network.config import NeighbourOrder, RankGRConfig
from model.network.network import network_from
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog, Int64s

from ....model.bundle.contents import change_tensors, sign_again
from ....model.decoding.small_worlds import random_neighbours

POISON = 2
"""A special token that `prompt` leaves out."""

ORDER = NeighbourOrder(weight=3.0, floor=0.01, recency=0.7, returns=0.2)
NOW = datetime(2026, 1, 18, 9, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A bundle in a few words; every field has a default worth varying alone."""

    sizes: tuple[int, ...] = (40, 50)
    items: int = 900
    hidden: int = 64
    heads: int = 2
    kv_heads: int = 1
    layers: int = 2
    mode: Literal["mha", "literal"] = "mha"
    rank_heads: int = 2
    rank_dim: int = 32
    mlp_input: Literal["attn", "attn_query"] = "attn_query"
    keys: Literal["items", "all"] = "items"
    beams: tuple[int, ...] = (12, 60)
    lambdas: tuple[int, ...] = (20, 25)
    iap_mix: float = 0.0
    max_tokens: int = 400
    seed: int = 0
    neighbours: bool = False

    def write(self, directory: Path) -> Bundle:
        """Write it and read it back."""
        fmt = PromptFormat.create(self.sizes, ("home",), max_tokens=self.max_tokens)
        literal = self.mode == "literal"
        config = RankGRConfig.create(
            hidden_size=self.hidden,
            layers=self.layers,
            heads=self.heads,
            kv_heads=self.kv_heads,
            intermediate_size=2 * self.hidden,
            vocab_size=fmt.vocab_size,
            max_position=self.max_tokens + 32,
            levels=[
                {"size": size, "token_offset": offset}
                for size, offset in zip(fmt.level_sizes, fmt.token_offsets, strict=True)
            ],
            special_tokens=fmt.special_tokens,
            prompt=fmt.prompt_section(),
            rank_head={
                "mode": self.mode,
                "heads": 1 if literal else self.rank_heads,
                "dim": self.hidden if literal else self.rank_dim,
                "mlp_hidden": 32,
                "mlp_input": self.mlp_input,
                "keys": self.keys,
            },
            decode={
                "beams": self.beams,
                "lambdas": self.lambdas,
                "iap_mix": self.iap_mix,
                "max_items_per_sid": 2,
                "neighbours": ORDER if self.neighbours else None,
            },
        )
        network = network_from(config, self.seed)
        chance = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for weight in network.parameters():
                scale = 0.2 if weight.ndim < 2 else weight.shape[-1] ** -0.5
                weight.add_(torch.randn(weight.shape, generator=chance) * scale)
        write_bundle(
            BundleContents(
                network=network,
                prompt_format=fmt,
                catalog=self.catalog(),
                popular=PopularList(default=(1,)),
                # A second file of tensors, as every built bundle has it.
                quantiser={"centroids": np.zeros((4, 2), np.float32)},
                features={},
                data={"name": "random"},
                metrics={},
                created_at=NOW,
                neighbours=random_neighbours(self.catalog(), self.seed) if self.neighbours else None,
            ),
            directory,
        )
        return read_bundle(directory)

    def catalog(self) -> Catalog:
        """Random codes, few distinct popularities."""
        chance = np.random.default_rng(self.seed)
        return Catalog(
            item_id=np.sort(chance.choice(100 * self.items, self.items, replace=False)).astype(np.int64),
            codes=np.stack([chance.integers(0, size, self.items) for size in self.sizes], 1).astype(np.int32),
            popularity=chance.integers(0, 3, self.items).astype(np.float32),
            level_sizes=self.sizes,
        )


def prompt(bundle: Bundle, tokens: int, seed: int) -> Int64s:
    """Whole random items, then special tokens up to this length, the last of them the marker."""
    chance = np.random.default_rng(seed)
    levels = bundle.config.levels
    items = max(0, tokens - 2) // len(levels)
    codes = np.stack([part.token_offset + chance.integers(0, part.size, items) for part in levels], 1).reshape(-1)
    special = bundle.config.rankgr.special_tokens
    others = sorted(set(special.values()) - {POISON, special["marker"]})
    rest = [others[place % len(others)] for place in range(tokens - len(codes) - 1)]
    return np.concatenate((codes, rest, [special["marker"]])).astype(np.int64)


def poison(bundle: Bundle) -> None:
    """Let the state of `POISON` be no number, and with it that of every prompt that holds it.

    A bundle like that would be refused; vLLM reads the weights without looking at them.
    """
    change_tensors(bundle.path / WEIGHTS_FILE, _spoil)
    sign_again(bundle.path, WEIGHTS_FILE)


def _spoil(weights: dict[str, Tensor]) -> None:
    weights["model.embed_tokens.weight"][POISON] = torch.nan
