"""A block of users' timelines as flat arrays: everything about their sessions that no draw of chance changes.

Made once per block; samples are drawn from it every epoch (model/training/samples.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.data.timelines import RequestCircumstances, Session, Timeline
from model.prompt import PromptContext, PromptFormat, context_tokens, history_tokens
from model.semantic_id.catalog import Catalog
from model.training.ragged import Ints, bounds_of

# Axes: T items of all histories, L their tokens, N sessions, C context tokens, P known items of all sessions, m levels.


@dataclass(frozen=True, slots=True, eq=False)
class SessionTable:
    """Sessions that have something to learn, by user and by where their prompts begin.

    tokens_L: all users' histories, known items only, one behind the other.
    user_N; begin_N: where the session's prompt begins in tokens_L; visible_N >= 1: how many tokens of it follow.
    context_NC; bounds_N [N + 1]: where its items begin in row_P (row of the catalogue) and level_P.
    All int64.
    """

    tokens_L: Ints
    user_N: Ints
    begin_N: Ints
    visible_N: Ints
    context_NC: Ints
    bounds_N: Ints
    row_P: Ints
    level_P: Ints

    def __len__(self) -> int:
        return len(self.user_N)

    @classmethod
    def of(cls, timelines: Sequence[Timeline], fmt: PromptFormat, catalog: Catalog, last_sessions: int = 0) -> Self:
        """Timelines as a table; last_sessions > 0 keeps each user's last so many of those that teach something."""
        row_T = catalog.rows_of(_joined([each.items for each in timelines]))
        level_T = _joined([each.levels for each in timelines]).astype(np.int8)
        known_T = row_T >= 0
        tokens_L = history_tokens(fmt, catalog.codes[row_T[known_T]], level_T[known_T])
        # Known items before each place, over all users: a session's cut becomes a place in tokens_L.
        before_T = np.append(0, np.cumsum(known_T))
        first_U = np.array([0, *accumulate(len(each.items) for each in timelines)], np.int64)

        sessions = [session for each in timelines for session in each.sessions]
        user_N = np.repeat(np.arange(len(timelines)), [len(each.sessions) for each in timelines])
        cut_N = np.fromiter((session.cut for session in sessions), np.int64, len(sessions))
        begin_N = before_T[first_U[user_N]] * fmt.item_tokens
        length_N = before_T[first_U[user_N] + cut_N] * fmt.item_tokens - begin_N
        dropped_N = _cuts(fmt, length_N)
        row_P, level_P, owner_P = _items(sessions, catalog)
        bounds_N = bounds_of(owner_P, len(sessions))
        kept_N = (length_N > dropped_N) & (np.diff(bounds_N) > 0)
        if last_sessions:
            kept_N = kept_N & _last(user_N, kept_N, last_sessions)
        order_N = np.flatnonzero(kept_N)
        order_N = order_N[np.lexsort((dropped_N[order_N], user_N[order_N]))]
        pick_P, picked_bounds_N = _picked(bounds_N, order_N)
        return cls(
            tokens_L=tokens_L,
            user_N=user_N[order_N],
            begin_N=(begin_N + dropped_N)[order_N],
            visible_N=(length_N - dropped_N)[order_N],
            context_NC=_contexts([sessions[place].circumstances for place in order_N.tolist()], fmt),
            bounds_N=picked_bounds_N,
            row_P=row_P[pick_P],
            level_P=level_P[pick_P],
        )

    def only(self, kept_N: NDArray[np.bool_]) -> Self:
        """The table of these sessions alone, in the same order; histories stay."""
        order_N = np.flatnonzero(kept_N)
        pick_P, bounds_N = _picked(self.bounds_N, order_N)
        return replace(
            self,
            user_N=self.user_N[order_N],
            begin_N=self.begin_N[order_N],
            visible_N=self.visible_N[order_N],
            context_NC=self.context_NC[order_N],
            bounds_N=bounds_N,
            row_P=self.row_P[pick_P],
            level_P=self.level_P[pick_P],
        )


def _joined(parts: Iterable[NDArray[np.integer]]) -> Ints:
    joined: Ints = np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)
    return joined


def _items(sessions: Sequence[Session], catalog: Catalog) -> tuple[Ints, Ints, Ints]:
    """Catalogue row, level and session of every known item."""
    row_P = catalog.rows_of(_joined([session.items for session in sessions]))
    level_P = _joined([session.levels for session in sessions])
    owner_P = np.repeat(np.arange(len(sessions)), [len(session.items) for session in sessions])
    known_P = row_P >= 0
    return row_P[known_P], level_P[known_P], owner_P[known_P]


def _cuts(fmt: PromptFormat, length_N: Ints) -> Ints:
    """`cut_of` of many histories."""
    excess_N = np.maximum(0, length_N + fmt.fixed_length - fmt.max_tokens)
    cut_N: Ints = np.minimum(length_N, -(-excess_N // fmt.block_tokens) * fmt.block_tokens)
    return cut_N


def _last(user_N: Ints, kept_N: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Which are among the last `count` kept sessions of their user; sessions are sorted by user, then time."""
    upto_N = np.cumsum(kept_N)
    end_N = np.searchsorted(user_N, user_N, side="right")
    return np.asarray(upto_N[end_N - 1] - upto_N < count, np.bool_)


def _picked(bounds_N: Ints, order_N: Ints) -> tuple[Ints, Ints]:
    """Items of the picked sessions in the new order, and the new bounds."""
    length_N = np.diff(bounds_N)[order_N]
    start_N = np.append(0, np.cumsum(length_N))
    pick_P = np.arange(start_N[-1]) + np.repeat(bounds_N[:-1][order_N] - start_N[:-1], length_N)
    return pick_P.astype(np.int64), start_N.astype(np.int64)


def _contexts(circumstances: Sequence[RequestCircumstances], fmt: PromptFormat) -> Ints:
    """Context tokens [N, C]; what does not change them is not looked at, so that few are worked out."""
    made: dict[PromptContext, Ints] = {}
    rows = []
    for each in circumstances:
        context = PromptContext.at(each.timestamp_ms, each.scene, each.device)
        if context not in made:
            made[context] = context_tokens(fmt, context)
        rows.append(made[context])
    return np.stack(rows) if rows else np.empty((0, fmt.context_length), np.int64)
