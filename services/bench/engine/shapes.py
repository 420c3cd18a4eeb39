"""The models that are measured: how large the network, the catalogue and the search are.  Weights are random."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from model.network.config import RankGRConfig, RankHeadShape
from model.prompt import PromptFormat

ROPE_THETA = 1e6
# What a prompt may hold beyond the longest one measured: room for a host that rounds up to its blocks.
SPARE_POSITIONS = 64

Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Shape:
    """One model with its catalogue and the widths it is searched with.

    density: share of all code combinations that lead to an item; history_items, new_items: of the user who comes
    back; the other tuples are the points of the curves.
    """

    name: str
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    intermediate_size: int
    level_sizes: tuple[int, ...]
    density: float
    rank_head: RankHeadShape
    dtype: Dtype
    prompt_tokens: int
    beams: tuple[int, ...]
    lambdas: tuple[int, ...]
    prompt_points: tuple[int, ...]
    beam_points: tuple[int, ...]
    lambda_points: tuple[int, ...]
    plain_beam_widths: tuple[int, ...]
    history_items: int
    new_items: int

    def prompt_format(self) -> PromptFormat:
        """Histories of bare codes, no scenes."""
        return PromptFormat.create(self.level_sizes, max_tokens=self.prompt_tokens)

    def config(self) -> RankGRConfig:
        """The bundle's `config.json`."""
        fmt = self.prompt_format()
        levels = zip(fmt.level_sizes, fmt.token_offsets, strict=True)
        made = RankGRConfig.create(
            hidden_size=self.hidden_size,
            layers=self.layers,
            heads=self.heads,
            kv_heads=self.kv_heads,
            intermediate_size=self.intermediate_size,
            vocab_size=fmt.vocab_size,
            max_position=self.prompt_tokens + SPARE_POSITIONS,
            levels=[{"size": size, "token_offset": offset} for size, offset in levels],
            special_tokens=fmt.special_tokens,
            prompt=fmt.prompt_section(),
            rank_head=self.rank_head,
            decode={"beams": self.beams, "lambdas": self.lambdas},
            rope_theta=ROPE_THETA,
        )
        return made.model_copy(update={"dtype": self.dtype})


def _rank_head(heads: int, dim: int, mlp_hidden: int) -> RankHeadShape:
    return RankHeadShape(heads=heads, dim=dim, mlp_hidden=mlp_hidden, mlp_input="attn_query", keys="all")


DEFAULT = Shape(
    name="default",
    hidden_size=128,
    layers=3,
    heads=4,
    kv_heads=2,
    intermediate_size=384,
    level_sizes=(2048, 2048),
    density=0.8,
    rank_head=_rank_head(heads=2, dim=32, mlp_hidden=64),
    dtype="float32",
    prompt_tokens=2048,
    beams=(500, 1400),
    lambdas=(1400, 1400),
    prompt_points=(256, 512, 1024, 2048),
    beam_points=(50, 100, 200, 500, 1000, 1400),
    lambda_points=(60, 200, 500, 1000, 1400),
    plain_beam_widths=(50, 200, 500),
    history_items=900,
    new_items=10,
)

# Qwen2.5-0.5B's body.  Its vocabulary of words (136 M of 494 M parameters) is left out: decoding reads the rows of
# semantic ids alone.  The rank head, whose size the paper does not give, has 4 heads of 32 and an MLP of 128.
QWEN = replace(
    DEFAULT,
    name="qwen2.5-0.5b",
    hidden_size=896,
    layers=24,
    heads=14,
    kv_heads=2,
    intermediate_size=4864,
    rank_head=_rank_head(heads=4, dim=32, mlp_hidden=128),
    dtype="bfloat16",
)

# For tests: every stage has work to do, nothing takes a second.
SMALL = Shape(
    name="small",
    # vLLM's attention on a CPU takes heads of 32 and more.
    hidden_size=64,
    layers=2,
    heads=2,
    kv_heads=1,
    intermediate_size=96,
    level_sizes=(24, 32),
    density=0.6,
    rank_head=_rank_head(heads=2, dim=8, mlp_hidden=16),
    dtype="float32",
    prompt_tokens=64,
    beams=(6, 20),
    lambdas=(16, 16),
    prompt_points=(32, 64),
    beam_points=(3, 12),
    lambda_points=(4, 16),
    plain_beam_widths=(4, 8),
    history_items=20,
    new_items=3,
)

SHAPES = {shape.name: shape for shape in (DEFAULT, QWEN, SMALL)}
