"""How long a session waits, how much of a user is remembered: one frozen object that the join is given."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.behaviors import LEVEL_OF, Behavior, Level

BEHAVIORS: tuple[Behavior, ...] = tuple(sorted(Behavior))
"""Behaviours by their code, which keeps the order of their names: a history of equal times is sorted by it."""

CODE_OF: dict[Behavior, int] = {behavior: code for code, behavior in enumerate(BEHAVIORS)}
LEVEL_OF_CODE: tuple[Level, ...] = tuple(LEVEL_OF[behavior] for behavior in BEHAVIORS)


@dataclass(frozen=True, slots=True)
class JoinRules:
    """Times in milliseconds.  Raises ValueError for what makes no sense together.

    window_ms: what counts for a request happens less than this after it began; then its sample is due.
    gap_ms: events that name no request are one session while less than this lies between two of them (and it ends
    `window_ms` after it began).
    correct_ms: a purchase told so long after the request began still corrects its sample.
    history_items: so many of the newest events before a request are its history, of history_level and above.
    pseudo_exposures: so many of the items computed for a request and not shown join its sample, best rank first; of
    a list the first candidates_kept are remembered.
    The rest bounds what one user may take: open sessions, closed ones, events of one session.
    """

    window_ms: int = 15 * 60_000
    gap_ms: int = 5 * 60_000
    correct_ms: int = 24 * 3_600_000
    history_items: int = 512
    history_level: Level = Level.CLICK
    pseudo_exposures: int = 10
    candidates_kept: int = 100
    open_sessions: int = 100
    closed_sessions: int = 500
    session_events: int = 2000

    def __post_init__(self) -> None:
        if not 0 < self.gap_ms <= self.window_ms <= self.correct_ms:
            raise ValueError("needed: 0 < gap <= window <= correct")
        if not 0 <= self.pseudo_exposures <= self.candidates_kept:
            raise ValueError("needed: 0 <= pseudo_exposures <= candidates_kept")
        if min(self.history_items, self.open_sessions, self.closed_sessions, self.session_events) < 1:
            raise ValueError("history_items, open_sessions, closed_sessions and session_events must be at least 1")

    @property
    def history_most(self) -> int:
        """Above this a history loses its oldest events, whatever an open session may still want of it."""
        return 4 * self.history_items + self.session_events
