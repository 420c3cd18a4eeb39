"""A circuit breaker: after some failures in a row nobody waits for a server any more, until it has answered again.

The links own one per server.  It holds no timer: it says when the next probe is due, its owner sends it.
Own code: the libraries looked at (aiobreaker, pybreaker, aiocircuitbreaker) let a caller's request be the probe, which
then pays the timeout, and wrap every call in a coroutine or a lock of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

FAILURES = 3
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


class BreakerState(StrEnum):
    """Closed: calls pass.  Open: they are refused, a probe is due some time.  Probing: one is under way."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row; opens at the third, closes at the first answer.

    A failure is a connection that could not be had, was lost or did not answer in time: one for all calls on it.
    """

    random: Random
    state: BreakerState = field(default=BreakerState.CLOSED, init=False)
    failures: int = field(default=0, init=False)
    openings: int = field(default=0, init=False)
    pause_s: float = field(default=0.0, init=False)
    """How long to wait before the next probe, while open."""

    @property
    def closed(self) -> bool:
        """Whether calls pass."""
        return self.state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """The server answered."""
        self.failures = 0
        self.state = BreakerState.CLOSED

    def failed(self) -> None:
        """It did not."""
        self.failures += 1
        if self.state is BreakerState.CLOSED and self.failures < FAILURES:
            return
        if self.state is BreakerState.CLOSED:
            self.openings += 1
        self.state = BreakerState.OPEN
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.failures - FAILURES, 10))
        # Half of it by chance, so that many processes do not knock at the same moment.
        self.pause_s = longest * (0.5 + 0.5 * self.random.random())

    def probing(self) -> None:
        """The probe that was due is under way.  ValueError where none is."""
        if self.state is not BreakerState.OPEN:
            raise ValueError(f"no probe is due: the breaker is {self.state}")
        self.state = BreakerState.PROBING
