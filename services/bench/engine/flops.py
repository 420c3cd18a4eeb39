"""Floating-point operations of one request, counted from the shape alone: a multiply-add counts two.

Counted are matrix products, attention and the rank head's merge; exponentials, norms, rotations and sorting are
not, nor what depends on the weights alone (the codes' queries).  Nothing is taken off for pruning: a host that
skips work shows more operations per second than it computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from model.network.config import RankGRConfig


@dataclass(frozen=True, slots=True)
class Work:
    """One request: its prompt, all of whose tokens are rank-head keys, and its widths.

    lambdas are clamped to what the catalogue has under one prefix on average; `reused` prompt tokens come out of a
    cache.
    """

    prompt_tokens: int
    beams: tuple[int, ...]
    lambdas: tuple[int, ...]
    reused: int = 0


def two_stage_flops(config: RankGRConfig, work: Work) -> dict[str, float]:
    """Per stage, of the exact factorisation: a code's history part once, each pair its own keys and the MLP."""
    head = config.rank_head
    width, tokens = head.heads * head.dim, work.prompt_tokens
    counted = {"prefill": prefill_flops(config, tokens, work.reused)}
    rows = _rows(work, config.level_sizes)
    for level, (size, alive) in enumerate(zip(config.level_sizes, rows, strict=True), start=1):
        fed = level - 1
        pairs = alive * min(work.lambdas[level - 1], size)
        codes = size if fed else min(work.lambdas[0], size)
        flops = 2.0 * alive * config.hidden_size * size
        flops += codes * (4 * width * tokens + 2 * width * head.mlp_hidden)
        if fed:
            flops += alive * step_flops(config, tokens + fed)
            flops += alive * fed * 2 * width * head.mlp_hidden
            flops += pairs * fed * 2 * width
            # Per (pair, hidden unit): the common part and each own key, per head.
            flops += pairs * 2 * head.heads * (1 + fed) * head.mlp_hidden
        flops += pairs * 2 * head.mlp_hidden
        counted[f"level{level}"] = flops
    return counted


def direct_flops(config: RankGRConfig, work: Work) -> dict[str, float]:
    """Per stage, of the naive form: every (beam, code) pair attends to all keys, every beam projects them anew.

    The codes fed are appended to the prompt and the whole is computed again, once per level, each beam's codes
    attending to the prompt and to themselves.
    """
    head = config.rank_head
    width, tokens = head.heads * head.dim, work.prompt_tokens
    features = width * (2 if head.mlp_input == "attn_query" else 1)
    counted = {"prefill": body_flops(config, tokens)}
    for level, (size, alive) in enumerate(zip(config.level_sizes, _rows(work, config.level_sizes), strict=True), 1):
        fed = level - 1
        pairs = alive * min(work.lambdas[level - 1], size)
        flops = 2.0 * alive * config.hidden_size * size
        flops += alive * 2 * (tokens + fed) * config.hidden_size * 2 * width
        flops += pairs * (2 * config.hidden_size * width + 4 * width * (tokens + fed))
        flops += pairs * (2 * features * head.mlp_hidden + 2 * head.mlp_hidden)
        if fed:
            attended = sum(tokens + place + 1 for place in range(fed))
            flops += body_flops(config, tokens) + alive * (fed * layer_flops(config) + _attention(config) * attended)
        counted[f"level{level}"] = flops
    return counted


def prefill_flops(config: RankGRConfig, tokens: int, reused: int = 0) -> float:
    """The backbone over the tokens that are new, and their rank-head keys."""
    new = tokens - reused
    projected = 2 * new * config.hidden_size * 2 * config.rank_head.heads * config.rank_head.dim
    return body_flops(config, tokens) - body_flops(config, reused) + projected


def body_flops(config: RankGRConfig, tokens: int) -> float:
    """The backbone over a prompt, causal: token t attends to t + 1 tokens."""
    return float(tokens * layer_flops(config) + _attention(config) * (tokens * (tokens + 1) // 2))


def step_flops(config: RankGRConfig, attended: int) -> float:
    """One more token of one beam, which attends to so many keys, and its rank-head keys."""
    projected = 2 * config.hidden_size * 2 * config.rank_head.heads * config.rank_head.dim
    return float(layer_flops(config) + _attention(config) * attended + projected)


def layer_flops(config: RankGRConfig) -> int:
    """All layers' projections and MLPs, for one token."""
    heads = config.num_attention_heads * config.head_dim
    narrow = config.num_key_value_heads * config.head_dim
    weights = config.hidden_size * (2 * heads + 2 * narrow) + 3 * config.hidden_size * config.intermediate_size
    return 2 * weights * config.num_hidden_layers


def _attention(config: RankGRConfig) -> int:
    """All layers' scores and sums, for one (query, key) pair of tokens."""
    return 4 * config.num_attention_heads * config.head_dim * config.num_hidden_layers


def _rows(work: Work, sizes: tuple[int, ...]) -> list[int]:
    """Live beams before each level: 1, then what the level above kept."""
    return [1, *(min(beam, prod(sizes[:level])) for level, beam in enumerate(work.beams[:-1], start=1))]
