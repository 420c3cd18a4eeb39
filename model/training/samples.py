"""Sessions to training rows: which of their items are packed, which negatives join them, what stands in one row.

Drawn anew every epoch, for a whole block of users at once.  A row is exact: every session in it sees just the tokens
that its prompt would hold when served.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.behaviors import Level
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.training.config import SampleConfig
from model.training.ragged import Ints, bounds_of
from model.training.session_table import SessionTable

# Axes: R rows, N sessions, L history tokens, C context tokens, T targets of all sessions, K of one, P items of all
# sessions, J negatives of one, m levels.


@dataclass(frozen=True, slots=True)
class SessionSample:
    """One request: what was asked, and what came of the items in it.

    visible: how many of the row's history tokens its prompt holds.  context_C int64; codes_Km int64; level_K int64.
    ntp_K bool: False for sampled pseudo-exposures, which nobody was ever shown.
    """

    visible: int
    context_C: Ints
    codes_Km: Ints
    level_K: Ints
    ntp_K: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A window of one user's history, int64 tokens, and the sessions whose prompts begin where it begins."""

    history_L: Ints
    sessions: tuple[SessionSample, ...]

    @property
    def tokens(self) -> int:
        """Length of the row once packed."""
        # Of a target's m codes, m - 1 are fed.
        targets = sum(s.codes_Km.size - len(s.codes_Km) for s in self.sessions)
        return len(self.history_L) + sum(len(s.context_C) for s in self.sessions) + targets


@dataclass(frozen=True, slots=True, eq=False)
class SampleTable:
    """The samples of one block for one epoch.

    before: tokens in front of every history.  Row r holds the sessions first_R[r] ..< first_R[r + 1], of their table
    the history tokens begin_R[r] ..< begin_R[r] + longest_R[r], and tokens_R[r] tokens in all.
    Session n has the targets first_N[n] ..< first_N[n + 1]; chance_N and chance_T are 63 bits of chance for each.
    """

    sessions: SessionTable
    before: tuple[int, ...]
    first_R: Ints
    begin_R: Ints
    longest_R: Ints
    tokens_R: Ints
    first_N: Ints
    chance_N: Ints
    codes_Tm: Ints
    level_T: Ints
    ntp_T: NDArray[np.bool_]
    chance_T: Ints

    def __len__(self) -> int:
        return len(self.begin_R)

    def rows(self) -> Iterator[TrainingRow]:
        """The rows one by one, for people and tests."""
        before = np.asarray(self.before, np.int64)
        for row in range(len(self)):
            begin = self.begin_R[row]
            history_L = np.concatenate([before, self.sessions.tokens_L[begin : begin + self.longest_R[row]]])
            numbers = range(self.first_R[row], self.first_R[row + 1])
            yield TrainingRow(history_L, tuple(self._session(number) for number in numbers))

    def _session(self, number: int) -> SessionSample:
        own = slice(self.first_N[number], self.first_N[number + 1])
        return SessionSample(
            visible=len(self.before) + int(self.sessions.visible_N[number]),
            context_C=self.sessions.context_NC[number],
            codes_Km=self.codes_Tm[own],
            level_K=self.level_T[own],
            ntp_K=self.ntp_T[own],
        )


def draw_samples(
    sessions: SessionTable, fmt: PromptFormat, catalog: Catalog, config: SampleConfig, rng: np.random.Generator
) -> SampleTable:
    """Targets and negatives of every session, by chance, and the rows that hold them."""
    if config.weak_sessions < 1.0:
        sessions = sessions.only(_strong_or_drawn(sessions, config.weak_sessions, rng))
    if config.user_sessions:
        sessions = sessions.only(_some_of_each_user(sessions, config.user_sessions, rng))
    targets = _with_negatives(sessions, _strongest(sessions, config.targets, rng), catalog, config, rng)
    first_N = bounds_of(targets.owner_T, len(sessions))
    first_R, longest_R = _rows(sessions, config.row_sessions)
    # Of a target's m codes, m - 1 are fed.
    size_N = fmt.context_length + (fmt.levels - 1) * np.diff(first_N)
    size_R = np.add.reduceat(size_N, first_R[:-1]) if len(sessions) else size_N
    return SampleTable(
        sessions=sessions,
        before=fmt.before,
        first_R=first_R,
        begin_R=sessions.begin_N[first_R[:-1]],
        longest_R=longest_R,
        tokens_R=len(fmt.before) + longest_R + size_R,
        first_N=first_N,
        chance_N=rng.integers(0, 2**63 - 1, len(sessions)),
        codes_Tm=catalog.codes[targets.row_T].astype(np.int64),
        level_T=targets.level_T,
        ntp_T=targets.shown_T,
        chance_T=rng.integers(0, 2**63 - 1, len(targets.row_T)),
    )


@dataclass(frozen=True, slots=True)
class _Targets:
    """Sorted by session: the session, the catalogue's row, the level, and whether the item was really shown."""

    owner_T: Ints
    row_T: Ints
    level_T: Ints
    shown_T: NDArray[np.bool_]


def _strong_or_drawn(sessions: SessionTable, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Sessions with an item of the strongest level that any has, and of the others a share by chance."""
    if not len(sessions):
        return np.zeros(0, np.bool_)
    strongest_N = np.maximum.reduceat(sessions.level_P, sessions.bounds_N[:-1])
    kept_N: NDArray[np.bool_] = (strongest_N == strongest_N.max()) | (rng.random(len(sessions)) < share)
    return kept_N


def _some_of_each_user(sessions: SessionTable, most: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """At most `most` of every user's sessions, by chance."""
    order_N = np.lexsort((rng.random(len(sessions)), sessions.user_N))
    place_N = np.arange(len(sessions)) - np.searchsorted(sessions.user_N, sessions.user_N)
    kept_N = np.zeros(len(sessions), np.bool_)
    kept_N[order_N[place_N < most]] = True
    return kept_N


def _strongest(sessions: SessionTable, most: int, rng: np.random.Generator) -> _Targets:
    """At most `most` items a session, the strongest levels first, chance within a level.

    A long exposure list must not push its clicks out.
    """
    owner_P = np.repeat(np.arange(len(sessions)), np.diff(sessions.bounds_N))
    order_P = np.lexsort((rng.random(len(owner_P)), -sessions.level_P, owner_P))
    place_P = np.arange(len(order_P)) - sessions.bounds_N[owner_P[order_P]]
    kept_T = np.sort(order_P[place_P < most])
    return _Targets(owner_P[kept_T], sessions.row_P[kept_T], sessions.level_P[kept_T], np.ones(len(kept_T), np.bool_))


def _with_negatives(
    sessions: SessionTable, targets: _Targets, catalog: Catalog, config: SampleConfig, rng: np.random.Generator
) -> _Targets:
    """Where all packed items of a session are of one level, random items join as pseudo-exposures.

    Nothing of the session, packed or not, is a negative: it was shown, or even bought.
    """
    drawn_NJ = rng.integers(0, len(catalog), (len(sessions), config.sampled_negatives))
    if not drawn_NJ.size:
        return targets
    start_N = bounds_of(targets.owner_T, len(sessions))[:-1]
    weakest_N = np.minimum.reduceat(targets.level_T, start_N)
    alike_N = weakest_N == np.maximum.reduceat(targets.level_T, start_N)
    owner_P = np.repeat(np.arange(len(sessions)), np.diff(sessions.bounds_N))
    own_P = np.sort(owner_P * len(catalog) + sessions.row_P)
    key_NJ = np.arange(len(sessions))[:, None] * len(catalog) + drawn_NJ
    place_NJ = np.minimum(np.searchsorted(own_P, key_NJ), len(own_P) - 1)
    owner_J, place_J = np.nonzero(alike_N[:, None] & (own_P[place_NJ] != key_NJ))
    owner_T = np.concatenate([targets.owner_T, owner_J])
    row_T = np.concatenate([targets.row_T, drawn_NJ[owner_J, place_J]])
    level_T = np.concatenate([targets.level_T, np.full(len(owner_J), int(Level.PSEUDO_EXPOSURE))])
    shown_T = np.arange(len(owner_T)) < len(targets.owner_T)
    order_T = np.argsort(owner_T, kind="stable")
    return _Targets(owner_T[order_T], row_T[order_T], level_T[order_T], shown_T[order_T])


def _rows(sessions: SessionTable, most: int) -> tuple[Ints, Ints]:
    """First session of every row, and one more, [R + 1]; the longest history any of a row's sessions sees, [R].

    Sessions of one user whose prompts begin at the same token share a row, at most `most` of them.
    """
    if not len(sessions):
        return np.zeros(1, np.int64), np.zeros(0, np.int64)
    fresh_N = np.ones(len(sessions), np.bool_)
    fresh_N[1:] = (np.diff(sessions.user_N) != 0) | (np.diff(sessions.begin_N) != 0)
    opened_N = np.maximum.accumulate(np.where(fresh_N, np.arange(len(sessions)), 0))
    first_R = np.flatnonzero((np.arange(len(sessions)) - opened_N) % most == 0)
    longest_R = np.maximum.reduceat(sessions.visible_N, first_R)
    return np.append(first_R, len(sessions)), longest_R
