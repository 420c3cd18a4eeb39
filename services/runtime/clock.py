"""Time comes in through the door: whoever needs the time is given a clock.

Mains pass a SystemClock; tests move a ManualClock.  Nothing here sleeps.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for messages, monotonic time for durations."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is moved."""

    __slots__ = ("_monotonic_ms", "_now_ms")

    def __init__(self, now_ms: int = 1_763_769_600_000) -> None:
        self._now_ms = now_ms
        self._monotonic_ms = 0

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._now_ms

    def monotonic_s(self) -> float:
        """Seconds moved since birth."""
        return self._monotonic_ms / 1000

    def advance(self, seconds: float) -> None:
        """Move both times forward; ValueError for a step back."""
        if seconds < 0:
            raise ValueError(f"a clock goes forward only, not by {seconds} s")
        step_ms = round(seconds * 1000)
        self._now_ms += step_ms
        self._monotonic_ms += step_ms
