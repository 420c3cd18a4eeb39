"""Named sizes of a bundle: how large a model, how long a training."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.behaviors import Level
from model.training.config import FitConfig


@dataclass(frozen=True, slots=True)
class Preset:
    """Everything a build may vary besides its data and seed.

    code_share: codes per level for every square root of the number of items; with two levels, 2 gives four places
    an item, enough that most items keep their nearest codes although ids are unique (max_items_per_sid 1).
    most_items: the catalogue takes items seen in training first, most often seen before others, then the rest by id.
    """

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    intermediate_size: int
    max_tokens: int
    fit: FitConfig
    levels: int = 2
    code_share: float = 2.0
    smallest_level: int = 16
    largest_level: int = 512
    feature_dims: int = 64
    most_items: int = 60_000
    max_items_per_sid: int = 1
    history_level: Level = Level.CLICK
    layout: str = "items"
    rank_heads: int = 2
    rank_dim: int = 32
    rank_mlp: int = 64
    rank_mlp_input: str = "attn_query"
    beams: tuple[int, ...] = (100, 1400)
    lambdas: tuple[int, ...] = (200, 200)
    iap_mix: float = 1.0
    popular_items: int = 1400
    evaluated_users: int = 200
    ks: tuple[int, ...] = field(default=(10, 20, 100))


PRESETS: dict[str, Preset] = {
    # Two CPU cores: about a minute of training.
    "tiny": Preset(
        hidden_size=64,
        layers=2,
        heads=2,
        kv_heads=1,
        intermediate_size=192,
        max_tokens=196,
        fit=FitConfig(tokens=600_000),
    ),
    # For tests and smoke runs: seconds, and a model that has hardly learnt anything.
    "micro": Preset(
        # One head of 32: vLLM's attention takes no narrower ones.
        hidden_size=32,
        layers=1,
        heads=1,
        kv_heads=1,
        intermediate_size=64,
        max_tokens=64,
        fit=FitConfig(tokens=6_000, batch_tokens=512),
        feature_dims=16,
        rank_dim=16,
        rank_mlp=32,
        beams=(20, 200),
        lambdas=(40, 40),
        evaluated_users=20,
    ),
}
