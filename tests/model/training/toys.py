"""Small catalogues, networks and timelines for the training tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from contracts.behaviors import Level
from model.data.timelines import RequestCircumstances, Session, Timeline
from model.network.config import RankGRConfig
from model.network.network import RankGRNetwork, network_from
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.training.config import SampleConfig
from model.training.packing import PackedBatch, pack
from model.training.samples import SampleTable, draw_samples
from model.training.session_table import SessionTable

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Toy:
    """One small world; items are numbered from 1, what lies above is unknown to the catalogue."""

    sizes: tuple[int, ...] = (4, 5)
    layout: str = "items"
    room: int = 7
    """Items that a prompt holds; a cut drops two at a time."""
    items: int = 12
    mode: Literal["mha", "literal"] = "mha"
    mlp_input: Literal["attn", "attn_query"] = "attn_query"
    seed: int = 0

    @property
    def fmt(self) -> PromptFormat:
        """The format, with two scenes."""
        item_tokens = len(self.sizes) + (self.layout == "items_behaviors")
        return PromptFormat.create(
            self.sizes,
            ("home", "search"),
            layout=self.layout,
            max_tokens=4 + self.room * item_tokens,
            block_tokens=2 * item_tokens,
        )

    @property
    def catalog(self) -> Catalog:
        """Distinct codes, as evenly random as they come."""
        chance = np.random.default_rng(self.seed)
        places = chance.choice(int(np.prod(self.sizes)), self.items, replace=False)
        return Catalog(
            item_id=np.arange(1, self.items + 1),
            codes=np.stack(np.unravel_index(places, self.sizes), 1).astype(np.int32),
            popularity=np.arange(self.items, dtype=np.float32),
            level_sizes=self.sizes,
        )

    @property
    def config(self) -> RankGRConfig:
        """Two heads that share their keys; decoding keeps everything."""
        fmt = self.fmt
        levels = zip(fmt.level_sizes, fmt.token_offsets, strict=True)
        return RankGRConfig.create(
            hidden_size=16,
            layers=2,
            heads=2,
            kv_heads=1,
            intermediate_size=24,
            vocab_size=fmt.vocab_size,
            max_position=fmt.max_tokens + 16,
            levels=[{"size": size, "token_offset": offset} for size, offset in levels],
            special_tokens=fmt.special_tokens,
            prompt=fmt.prompt_section(),
            rank_head={
                "mode": self.mode,
                "heads": 1 if self.mode == "literal" else 2,
                "dim": 16 if self.mode == "literal" else 6,
                "mlp_hidden": 8,
                "mlp_input": self.mlp_input,
            },
            decode={
                "beams": (self.items,) * len(self.sizes),
                "lambdas": (self.items,) * len(self.sizes),
                "iap_mix": 1.0,
            },
        )

    def network(self) -> RankGRNetwork:
        """As drawn for a training."""
        return network_from(self.config, self.seed)

    def shaken(self) -> RankGRNetwork:
        """float64, with weights so large that every token that is seen by mistake is noticed."""
        network = self.network().double()
        chance = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn(weight.shape, generator=chance, dtype=torch.float64) * 0.4)
        return network


def session(cut: int, items: Sequence[int], levels: Sequence[Level], number: int = 0) -> Session:
    """A request in the hour `number` of the day, which thus tells sessions of a timeline apart."""
    circumstances = RequestCircumstances(
        scene=("home", "search", "cart", None)[number % 4],
        timestamp_s=number * SECONDS_PER_HOUR,
        device="mobile",
    )
    return Session(cut, np.array(items), np.array(levels, np.int8), circumstances)


def timeline(items: Sequence[int], sessions: Sequence[Session], levels: Sequence[Level] = ()) -> Timeline:
    """A user who clicked on these items, if `levels` does not say otherwise."""
    level_T = np.array(levels or [Level.CLICK] * len(items), np.int8)
    return Timeline("user", np.array(items), level_T, np.arange(len(items)), tuple(sessions))


def drawn(toy: Toy, users: Sequence[Timeline], config: SampleConfig | None = None, seed: int = 0) -> SampleTable:
    """One epoch's samples of these users."""
    chosen = config or SampleConfig()
    table = SessionTable.of(users, toy.fmt, toy.catalog, chosen.last_sessions)
    return draw_samples(table, toy.fmt, toy.catalog, chosen, np.random.default_rng(seed))


def packed_whole(samples: SampleTable, fmt: PromptFormat) -> PackedBatch:
    """All rows as one batch, RSP deciding on everything."""
    return pack(samples, np.arange(len(samples)), fmt)


def random_timeline(toy: Toy, seed: int, length: int = 14, sessions: int = 5, most: int = 4) -> Timeline:
    """Up to `most` targets a session, of all levels; one item in five is unknown."""
    chance = np.random.default_rng(seed)
    known = int(toy.items * 1.25)
    made = []
    for number in range(sessions):
        count = int(chance.integers(1, most + 1))
        made.append(
            session(
                cut=int(chance.integers(1, length + 1)),
                items=(chance.choice(known, count, replace=False) + 1).tolist(),
                levels=[Level(level) for level in chance.integers(1, 5, count).tolist()],
                number=number,
            )
        )
    levels = [Level(level) for level in chance.integers(3, 5, length).tolist()]
    return timeline(chance.integers(1, known + 1, length).tolist(), made, levels)
