"""Timelines to training rows: one user's history with the sessions that look back on it.

A row is exact: every session in it sees just the tokens that its prompt would hold when served.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.behaviors import Level
from model.data.timelines import Session, Timeline
from model.prompt import PromptContext, PromptFormat, context_tokens, cut_of, history_tokens
from model.semantic_id.catalog import Catalog
from model.training.config import SampleConfig

# Axes: L history tokens of a row, C context tokens, K targets of a session, m levels.


@dataclass(frozen=True, slots=True)
class SessionSample:
    """One request: what was asked, and what came of the items in it.

    visible: how many of the row's history tokens its prompt holds.  context_C int64; codes_Km int64; level_K int64.
    ntp_K bool: False for sampled pseudo-exposures, which nobody was ever shown.
    """

    visible: int
    context_C: NDArray[np.int64]
    codes_Km: NDArray[np.int64]
    level_K: NDArray[np.int64]
    ntp_K: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A window of one user's history, int64 tokens, and the sessions whose prompts begin where it begins."""

    history_L: NDArray[np.int64]
    sessions: tuple[SessionSample, ...]

    @property
    def tokens(self) -> int:
        """Length of the row once packed."""
        # Of a target's m codes, m - 1 are fed.
        targets = sum(s.codes_Km.size - len(s.codes_Km) for s in self.sessions)
        return len(self.history_L) + sum(len(s.context_C) for s in self.sessions) + targets


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Turns timelines into rows, sampling targets and negatives with the generator it is given."""

    fmt: PromptFormat
    catalog: Catalog
    config: SampleConfig

    def __call__(self, timeline: Timeline, rng: np.random.Generator) -> Iterator[TrainingRow]:
        """Rows of one user; sessions whose prompts are cut at different places go to different rows."""
        rows_T = self.catalog.rows_of(timeline.items)
        known_T = rows_T >= 0
        seen_T = np.concatenate([[0], np.cumsum(known_T)]).tolist()
        tokens_L = history_tokens(self.fmt, self.catalog.codes[rows_T[known_T]], timeline.levels[known_T])
        groups: dict[int, list[SessionSample]] = {}
        for session, sampled in zip(timeline.sessions, self._sampled(timeline.sessions, rng), strict=True):
            length = seen_T[session.cut] * self.fmt.item_tokens
            if length and len(sampled.rows_K):
                dropped = cut_of(self.fmt, length)
                groups.setdefault(dropped, []).append(self._sample(session, sampled, length - dropped))
        for dropped, samples in groups.items():
            for start in range(0, len(samples), self.config.row_sessions):
                part = tuple(samples[start : start + self.config.row_sessions])
                longest = max(sample.visible for sample in part)
                yield TrainingRow(tokens_L[dropped : dropped + longest], part)

    def _sampled(self, sessions: Sequence[Session], rng: np.random.Generator) -> Iterator[_Sampled]:
        """The known items of each session, at most `targets`, with negatives where all are of one level."""
        rows_A = self.catalog.rows_of(np.concatenate([session.items for session in sessions]))
        negative_SJ = rng.integers(0, len(self.catalog), (len(sessions), self.config.sampled_negatives))
        end = 0
        for session, negative_J in zip(sessions, negative_SJ, strict=True):
            start, end = end, end + len(session.items)
            rows_K, level_K = rows_A[start:end], session.levels.astype(np.int64)
            if rows_K.min() < 0:
                rows_K, level_K = rows_K[rows_K >= 0], level_K[rows_K >= 0]
            session_K = rows_K
            if len(rows_K) > self.config.targets:
                # Strongest first, chance within a level: a long exposure list must not push its clicks out.
                order_K = np.lexsort((rng.random(len(rows_K)), -level_K))[: self.config.targets]
                rows_K, level_K = rows_K[order_K], level_K[order_K]
            shown = len(rows_K)
            if shown and (level_K == level_K[0]).all():
                # Nothing of the session, packed or not, is a negative: it was shown, or even bought.
                drawn_J = negative_J[(negative_J[:, None] != session_K).all(1)]
                rows_K = np.concatenate([rows_K, drawn_J])
                level_K = np.concatenate([level_K, np.full(len(drawn_J), int(Level.PSEUDO_EXPOSURE))])
            yield _Sampled(rows_K, level_K, shown)

    def _sample(self, session: Session, sampled: _Sampled, visible: int) -> SessionSample:
        circumstances = session.circumstances
        stamp = circumstances.timestamp_s
        context = PromptContext.at(
            scene=circumstances.scene,
            timestamp_ms=None if stamp is None else stamp * 1000,
            device=circumstances.device,
        )
        return SessionSample(
            visible=visible,
            context_C=context_tokens(self.fmt, context),
            codes_Km=self.catalog.codes[sampled.rows_K].astype(np.int64),
            level_K=sampled.level_K,
            ntp_K=np.arange(len(sampled.rows_K)) < sampled.shown,
        )


@dataclass(frozen=True, slots=True)
class _Sampled:
    """Catalogue rows and levels of a session's targets; those after the first `shown` were drawn by chance."""

    rows_K: NDArray[np.int64]
    level_K: NDArray[np.int64]
    shown: int
