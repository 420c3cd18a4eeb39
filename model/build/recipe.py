"""How a bundle is made, besides data and seed: one frozen value with a section for each part.

Named ones stand in `presets`, files are read by `read_recipe`; docs/training.md lists every key.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
)
from pydantic.dataclasses import dataclass

from contracts.behaviors import Level
from model.semantic_id.settings import Items, LastLevel, Method
from model.training.config import (
    STRICT,
    FitConfig,
    LossConfig,
    OptimiserConfig,
    Rate,
    SampleConfig,
    Share,
    ValidationConfig,
)
from model.training.taught import Taught

RECIPE_DIGITS = 12


def _level_of_name(value: object) -> object:
    known = {level.name.lower(): level for level in Level}
    if isinstance(value, Level):
        return value
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{value!r} is none of {', '.join(known)}")
    return known[value]


def _with_history(text: str) -> str:
    if text.count("{history}") != 1:
        raise ValueError("an instruction holds {history} exactly once")
    return text


INSTRUCTION = "A customer of our shop looked at these items, oldest first: {history}. Which items come next?"
LevelName = Annotated[Level, BeforeValidator(_level_of_name), PlainSerializer(lambda level: level.name.lower())]
Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, config=STRICT)
class SemanticIdConfig:
    """Items to codes, where no ready-made semantic ids are given.

    sizes: codes per level; left out, `levels` levels with a power of two each, at least code_share times the levels-th
    root of the number of items.  With two levels, 2 gives four places an item, enough that most items keep their
    nearest codes although ids are unique (max_items_per_sid 1).
    most_items: the catalogue takes items seen in training first, most often seen before others, then the rest by id;
    items `seen` leaves the rest out.  method, last_level, text_share, window: as in `rankgr sid build`
    (docs/semantic-ids.md).
    """

    levels: PositiveInt = 2
    sizes: tuple[PositiveInt, ...] = ()
    code_share: PositiveFloat = 2.0
    smallest_level: PositiveInt = 16
    largest_level: PositiveInt = 512
    feature_dims: PositiveInt = 64
    method: Method = "rkmeans"
    last_level: LastLevel = "nearest"
    text_share: Share = 0.5
    window: PositiveInt = 5
    items: Items = "all"
    most_items: PositiveInt = 60_000
    max_items_per_sid: PositiveInt = 1


@dataclass(frozen=True, slots=True, config=STRICT)
class NetworkConfig:
    """Backbone and rank head (A3: rank_mode, A4: rank_mlp_input); with --init only the head is read from here.

    A literal rank head has one head as wide as the model, whatever rank_heads and rank_dim say.
    seeded_codes: code embeddings begin at the quantiser's centroids.
    """

    hidden_size: PositiveInt = 64
    layers: PositiveInt = 2
    heads: PositiveInt = 2
    kv_heads: PositiveInt = 1
    intermediate_size: PositiveInt = 192
    dropout: Rate = 0.0
    rank_mode: Literal["mha", "literal"] = "mha"
    rank_heads: PositiveInt = 2
    rank_dim: PositiveInt = 32
    rank_mlp: PositiveInt = 64
    rank_mlp_input: Literal["attn", "attn_query"] = "attn_query"
    seeded_codes: bool = True


@dataclass(frozen=True, slots=True, config=STRICT)
class PromptConfig:
    """What a prompt holds; history_level: the weakest behaviour that a history holds (`exposure`: all shown).

    context: which circumstances stand behind the history; a log that has none needs none.
    instruction: what a language model (--init) is told; {history} is where the items stand.
    """

    layout: Literal["items", "items_behaviors"] = "items"
    max_tokens: PositiveInt = 196
    history_level: LevelName = Level.CLICK
    context: tuple[Literal["scene", "hour", "device"], ...] = ("scene", "hour", "device")
    instruction: Annotated[str, AfterValidator(_with_history)] = INSTRUCTION


@dataclass(frozen=True, slots=True, config=STRICT)
class DecodingConfig:
    """What a request may leave open (A1: lambda_scope, A19: iap_mix, the mu of methods that mix IAP in)."""

    beams: Widths = (100, 1400)
    lambdas: Widths = (200, 200)
    lambda_scope: Literal["prefix", "request"] = "prefix"
    iap_mix: NonNegativeFloat = 1.0


@dataclass(frozen=True, slots=True, config=STRICT)
class NeighboursConfig:
    """What training rows say of pairs of items, and how much that counts in a list's order (docs/training.md).

    method: as the baselines of that name count pairs, cooccurrence over events of prompt.history_level or more,
    transitions over clicks in their order; `none` leaves the order to the model alone.  prior: of cooccurrence, users
    added to both sides of the cosine.  per_item: how many neighbours of an item are kept.  weight, floor: a list's
    scores gain weight * log(share + floor).
    """

    method: Literal["none", "cooccurrence", "transitions"] = "none"
    weight: PositiveFloat = 4.0
    floor: Annotated[float, Field(gt=0.0, lt=1.0)] = 1e-3
    prior: NonNegativeFloat = 20.0
    per_item: PositiveInt = 100


@dataclass(frozen=True, slots=True, config=STRICT)
class EvaluationConfig:
    """Metrics for the manifest, on so many test users, and the length of the fallback lists."""

    users: PositiveInt = 200
    ks: Widths = (10, 20, 100)
    popular_items: PositiveInt = 1400


@dataclass(frozen=True, slots=True, config=STRICT)
class Recipe:
    """Everything a bundle's making may vary besides its data and seed."""

    semantic_ids: SemanticIdConfig = SemanticIdConfig()
    network: NetworkConfig = NetworkConfig()
    prompt: PromptConfig = PromptConfig()
    samples: SampleConfig = SampleConfig()
    losses: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    validation: ValidationConfig = ValidationConfig()
    decoding: DecodingConfig = DecodingConfig()
    neighbours: NeighboursConfig = NeighboursConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint_tokens: PositiveInt = 1_000_000

    def __post_init__(self) -> None:
        if self.losses.gamma == 0 and self.decoding.iap_mix == 0:
            raise ValueError(
                "losses.gamma = 0 trains no rank head: decoding.iap_mix must be above 0, or nothing orders"
            )

    def fit(self, seed: int) -> FitConfig:
        """What the trainer is told."""
        return FitConfig(
            seed=seed,
            dropout=self.network.dropout,
            checkpoint_tokens=self.checkpoint_tokens,
            optimiser=self.optimiser,
            losses=self.losses,
            samples=self.samples,
            validation=self.validation,
        )

    def taught(self) -> Taught:
        """What the bundle tells of it, for those who go on learning."""
        return Taught(
            losses=self.losses,
            samples=self.samples,
            learning_rate=self.optimiser.learning_rate,
            embedding_rate=self.optimiser.embedding_rate,
        )

    def to_json(self) -> str:
        """The whole recipe, defaults included: equal recipes give equal texts."""
        return ADAPTER.dump_json(self).decode()

    @property
    def digest(self) -> str:
        """Twelve hex digits over all of it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:RECIPE_DIGITS]


ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)
