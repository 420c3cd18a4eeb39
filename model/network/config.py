"""`config.json` of a bundle: Hugging Face's Qwen2 keys and the section `rankgr`, typed.

Network, decoding, training and the bundle read it; keys it does not know are kept as they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, NotRequired, Self, TypedDict, Unpack

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from contracts.errors import BadBundle

ARCHITECTURE = "Qwen2ForCausalLM"
DEFAULT_ROPE_THETA = 10000.0


class Section(BaseModel):
    """A part of the configuration; unknown keys are tolerated and written back."""

    model_config = ConfigDict(frozen=True, extra="allow")


class LevelSlice(Section):
    """One codebook level: `size` codes, whose tokens are token_offset ..< token_offset + size."""

    size: PositiveInt
    token_offset: int = Field(ge=0)


class PromptSection(Section):
    """How prompts are laid out; model.prompt gives the words their meaning."""

    layout: str = "items"
    max_tokens: PositiveInt
    block_tokens: PositiveInt


class RankHeadShape(Section):
    """The rank head (methods.md A3, A4): `literal` has no projections, one head as wide as the model."""

    mode: Literal["mha", "literal"] = "mha"
    heads: PositiveInt
    dim: PositiveInt
    mlp_hidden: PositiveInt
    mlp_input: Literal["attn", "attn_query"] = "attn"
    keys: Literal["items", "all"] = "items"


class NeighbourOrder(Section):
    """How pairs that training showed change a list's order (model/decoding/neighbour_order.py).

    recency: what a history's event counts for, to that of the one after it; returns: the least share of what was
    clicked last, 0 where users do not come back to what they had.
    """

    weight: PositiveFloat = Field(allow_inf_nan=False)
    floor: float = Field(gt=0.0, lt=1.0)
    recency: float = Field(gt=0.0, le=1.0)
    returns: float = Field(ge=0.0, le=1.0)


class DecodeDefaults(Section):
    """Widths per level and the rest of what a request may leave open."""

    beams: tuple[PositiveInt, ...]
    lambdas: tuple[PositiveInt, ...]
    lambda_scope: Literal["prefix", "request"] = "prefix"
    iap_mix: float = Field(default=0.0, allow_inf_nan=False)
    max_items_per_sid: PositiveInt = 5
    neighbours: NeighbourOrder | None = None


class RankGRSection(Section):
    """Section `rankgr`.  Levels lie side by side in the vocabulary, apart from the special tokens."""

    format: Literal[1] = 1
    levels: tuple[LevelSlice, ...] = Field(min_length=1)
    special_tokens: dict[str, int]
    prompt: PromptSection
    rank_head: RankHeadShape
    decode: DecodeDefaults

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        levels = len(self.levels)
        if len(self.decode.beams) != levels or len(self.decode.lambdas) != levels:
            raise ValueError(f"decode.beams and decode.lambdas need one width for each of {levels} levels")
        spans = sorted((part.token_offset, part.token_offset + part.size) for part in self.levels)
        if any(end > start for (_, end), (start, _) in pairwise(spans)):
            raise ValueError("the levels' token slices overlap")
        for name, token in self.special_tokens.items():
            if token < 0 or any(start <= token < end for start, end in spans):
                raise ValueError(f"special token {name} = {token} lies inside a level's slice or below 0")
        return self


class ConfigParts(TypedDict):
    """What `RankGRConfig.create` is given; head size is hidden_size / heads."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    intermediate_size: int
    vocab_size: int
    max_position: int
    levels: Sequence[LevelSlice | Mapping[str, int]]
    special_tokens: Mapping[str, int]
    prompt: PromptSection | Mapping[str, object]
    rank_head: RankHeadShape | Mapping[str, object]
    decode: DecodeDefaults | Mapping[str, object]
    rope_theta: NotRequired[float]


class RankGRConfig(Section):
    """The whole `config.json`.  Build one with `create`, read one with `from_json`."""

    vocab_size: PositiveInt
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt
    head_dim: PositiveInt
    max_position_embeddings: PositiveInt
    rms_norm_eps: PositiveFloat = 1e-6
    rope_theta: PositiveFloat = DEFAULT_ROPE_THETA
    initializer_range: PositiveFloat = 0.02
    rankgr: RankGRSection

    @model_validator(mode="after")
    def _shapes_fit(self) -> Self:
        if self.num_attention_heads % self.num_key_value_heads or self.head_dim % 2:
            raise ValueError("heads must be a multiple of key-value heads, and the head size even")
        tokens = [part.token_offset + part.size - 1 for part in self.rankgr.levels]
        if max([*tokens, *self.rankgr.special_tokens.values()]) >= self.vocab_size:
            raise ValueError(f"a level or special token lies outside the vocabulary of {self.vocab_size}")
        head = self.rankgr.rank_head
        if head.mode == "literal" and (head.heads, head.dim) != (1, self.hidden_size):
            raise ValueError(f"a literal rank head has 1 head of dim {self.hidden_size}")
        return self

    @property
    def levels(self) -> tuple[LevelSlice, ...]:
        """Codebook levels, coarse to fine."""
        return self.rankgr.levels

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """V_1..V_M."""
        return tuple(part.size for part in self.rankgr.levels)

    @property
    def rank_head(self) -> RankHeadShape:
        """Shape of the rank head."""
        return self.rankgr.rank_head

    @property
    def decode(self) -> DecodeDefaults:
        """Default widths and rules of decoding."""
        return self.rankgr.decode

    @property
    def max_prompt_tokens(self) -> int:
        """Longest prompt that leaves a position for every code that is fed (all but the last)."""
        return self.max_position_embeddings - (len(self.levels) - 1)

    @classmethod
    def create(cls, **parts: Unpack[ConfigParts]) -> RankGRConfig:
        """A configuration from its parts.  Raises ValueError when they do not fit together."""
        return cls.model_validate(
            {
                "vocab_size": parts["vocab_size"],
                "hidden_size": parts["hidden_size"],
                "intermediate_size": parts["intermediate_size"],
                "num_hidden_layers": parts["layers"],
                "num_attention_heads": parts["heads"],
                "num_key_value_heads": parts["kv_heads"],
                "head_dim": parts["hidden_size"] // parts["heads"],
                "max_position_embeddings": parts["max_position"],
                "rope_theta": parts.get("rope_theta", DEFAULT_ROPE_THETA),
                "rankgr": {
                    "levels": tuple(parts["levels"]),
                    "special_tokens": dict(parts["special_tokens"]),
                    "prompt": parts["prompt"],
                    "rank_head": parts["rank_head"],
                    "decode": parts["decode"],
                },
            }
        )

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> RankGRConfig:
        """Parse `config.json`, RoPE in the old or the new spelling.  Raises BadBundle in one line."""
        fields = dict(content)
        _refuse_other_models(fields)
        fields["rope_theta"] = _rope_theta(fields)
        heads, hidden = fields.get("num_attention_heads"), fields.get("hidden_size")
        if isinstance(heads, int) and isinstance(hidden, int) and heads > 0:
            if fields.get("num_key_value_heads") is None:
                fields["num_key_value_heads"] = heads
            if fields.get("head_dim") is None:
                fields["head_dim"] = hidden // heads
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BadBundle(f"config.json: {place}{': ' if place else ''}{first['msg']}") from error

    def to_json(self) -> dict[str, object]:
        """Content of `config.json`; transformers loads it as a Qwen2 whose output layer is the embedding."""
        content: dict[str, object] = self.model_dump(mode="json")
        section: object = content.pop("rankgr")
        if self.decode.neighbours is None:
            # Older releases read what does not order by any.
            decode = self.rankgr.decode.model_dump(mode="json", exclude={"neighbours"})
            section = {**self.rankgr.model_dump(mode="json"), "decode": decode}
        content.update(
            architectures=[ARCHITECTURE],
            model_type="qwen2",
            tie_word_embeddings=True,
            hidden_act="silu",
            use_sliding_window=False,
            # transformers 5 reads rope_parameters, older readers rope_theta: both say the same.
            rope_parameters={"rope_type": "default", "rope_theta": self.rope_theta},
        )
        content.setdefault("dtype", "float32")
        content["rankgr"] = section
        return content


def _refuse_other_models(fields: Mapping[str, object]) -> None:
    """What would silently compute something else than this backbone does."""
    wanted = {
        "model_type": "qwen2",
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    }
    # A Qwen2 configuration that says nothing about tying is untied (transformers' default).
    defaults: dict[str, object] = {
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "use_sliding_window": False,
    }
    for key, value in wanted.items():
        found = fields.get(key, defaults.get(key))
        if found != value:
            raise BadBundle(f"config.json: {key} must be {value!r}, is {found!r}")


def _rope_theta(fields: Mapping[str, object]) -> object:
    """RoPE's base; scaled variants are refused, for the backbone does not compute them."""
    rope = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise BadBundle("config.json: rope_parameters must be an object")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise BadBundle(f"config.json: rope type {kind!r} is not supported")
    theta: object = rope.get("rope_theta", fields.get("rope_theta", DEFAULT_ROPE_THETA))
    return theta
