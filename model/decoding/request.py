"""What one decoding is asked and what it answers; the one place that refuses a request.

Both decoders and the services above them use these types; nothing here computes a score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from contracts.errors import BadRequest, PromptTooLong, UnknownToken
from model.network.config import RankGRConfig
from model.semantic_id.catalog import Float32s, Int32s, Int64s
from model.semantic_id.item_filter import ItemFilter

# Shapes: L prompt tokens, K results, M levels.
Float64s = npt.NDArray[np.float64]
LambdaScope = Literal["prefix", "request"]


@dataclass(frozen=True, slots=True, eq=False)
class DecodeRequest:
    """One user's prompt, int64 [L].  None means the model's default; widths are per level, coarse to fine.

    `exclude` names items, unknown ones are ignored; `item_filter` leaves out rows of the decoder's catalogue;
    `max_items` None leaves the list uncut.  `user`: under whose name a decoder may keep the prompt's states for
    the next one; None keeps nothing.  `wanted` is asked between stages, from the decoding thread: where it says
    no, the rest is not computed and the answer is DeadlineExceeded.  None of the two changes a list.
    """

    tokens: Int64s
    beams: tuple[int, ...] | None = None
    lambdas: tuple[int, ...] | None = None
    exclude: frozenset[int] = frozenset()
    max_items: int | None = None
    lambda_scope: LambdaScope | None = None
    iap_mix: float | None = None
    item_filter: ItemFilter | None = None
    user: str | None = None
    wanted: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DecodeResult:
    """Items best first: score descending, then SID, then most popular, then item id.

    item_id int64 [K]; score float32 [K]: log s + iap_mix * log p summed over levels in float64, and what neighbours
    add, rounded once;
    codes int32 [K, M]; iap_logprob and rsp_logscore float32 [K, M]: log p and log s of each level.
    timings_ms: prefill, level1..levelM, expand; a stage shared by several users shows its whole time.
    counts: reused_tokens and computed_tokens of the prompt; per level beams<l> that there were and extended<l>
    that could matter.
    An empty list is an answer: nothing was left to recommend.
    """

    item_id: Int64s
    score: Float32s
    codes: Int32s
    iap_logprob: Float32s
    rsp_logscore: Float32s
    timings_ms: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSids:
    """The final beam, in the order of the list.

    sid int64 [K]: rank among all SIDs of the catalogue; score float64 [K];
    iap_logprob and rsp_logscore float64 [K, M].
    """

    sid: Int64s
    score: Float64s
    iap_logprob: Float64s
    rsp_logscore: Float64s


@dataclass(frozen=True, slots=True, eq=False)
class DecodePlan:
    """A request that was found good, with the defaults filled in."""

    tokens: Int64s
    beams: tuple[int, ...]
    lambdas: tuple[int, ...]
    lambda_scope: LambdaScope
    iap_mix: float
    exclude: frozenset[int]
    item_filter: ItemFilter | None
    max_items: int | None


def plan_of(request: DecodeRequest, config: RankGRConfig) -> DecodePlan:
    """Fill in the model's defaults.  Raises PromptTooLong, UnknownToken, BadRequest."""
    # A copy: what the caller does with its array later, or whether it may be written to, is its own affair.
    tokens_L = np.array(request.tokens, dtype=np.int64)
    if tokens_L.ndim != 1 or not len(tokens_L):
        raise BadRequest("tokens: a prompt needs at least one token")
    if len(tokens_L) > config.max_prompt_tokens:
        raise PromptTooLong(len(tokens_L), config.max_prompt_tokens)
    strange = tokens_L[(tokens_L < 0) | (tokens_L >= config.vocab_size)]
    if len(strange):
        raise UnknownToken(int(strange[0]), config.vocab_size)
    if request.max_items is not None and request.max_items < 1:
        raise BadRequest(f"max_items: must be at least 1, is {request.max_items}")
    defaults = config.decode
    scope = request.lambda_scope or defaults.lambda_scope
    if scope not in ("prefix", "request"):
        raise BadRequest(f"lambda_scope: must be prefix or request, is {scope}")
    iap_mix = defaults.iap_mix if request.iap_mix is None else request.iap_mix
    if not np.isfinite(iap_mix):
        raise BadRequest(f"iap_mix: must be a finite number, is {iap_mix}")
    return DecodePlan(
        tokens=tokens_L,
        beams=_widths("beams", request.beams, defaults.beams),
        lambdas=_widths("lambdas", request.lambdas, defaults.lambdas),
        lambda_scope=scope,
        iap_mix=iap_mix,
        exclude=request.exclude,
        item_filter=request.item_filter,
        max_items=request.max_items,
    )


def key_positions(tokens: Int64s, config: RankGRConfig) -> Int64s:
    """Prompt positions whose states are rank-head keys, ascending.

    The history's item tokens (all positions with `keys: all`), and the last one, whose state is h_1; a
    position counts once, whichever way it came in.
    """
    if config.rank_head.keys == "all":
        return np.arange(len(tokens), dtype=np.int64)
    is_key_L = np.zeros(len(tokens), dtype=np.bool_)
    for part in config.levels:
        is_key_L |= (tokens >= part.token_offset) & (tokens < part.token_offset + part.size)
    is_key_L[-1] = True
    return np.flatnonzero(is_key_L).astype(np.int64)


def _widths(name: str, asked: tuple[int, ...] | None, default: tuple[int, ...]) -> tuple[int, ...]:
    widths = default if asked is None else tuple(asked)
    if len(widths) != len(default):
        raise BadRequest(f"{name}: needs one width for each of {len(default)} levels, has {len(widths)}")
    if min(widths) < 1:
        raise BadRequest(f"{name}: widths must be at least 1, got {list(widths)}")
    return widths
