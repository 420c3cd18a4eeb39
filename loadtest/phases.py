"""The three parts of a run that has something in its middle: before, meanwhile, after.  Arithmetic only."""

from __future__ import annotations

import math
from dataclasses import dataclass

# A crowd that takes a minute to arrive is a busy evening.
CROWD_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Episode:
    """What happens from here to there, in seconds since the run began; figures shade it."""

    from_s: float
    to_s: float
    label: str


def middle_third(run_s: float, label: str) -> Episode:
    """Long enough before to see the usual, long enough after to see it come back."""
    return Episode(run_s / 3, 2 * run_s / 3, label)


@dataclass(frozen=True, slots=True)
class Crowd:
    """`base` users, `times` as many in the middle third of the run."""

    base: int
    times: float
    run_s: float

    @property
    def episode(self) -> Episode:
        """When it is there."""
        return middle_third(self.run_s, "crowd")

    @property
    def most(self) -> int:
        """How many users there are at its height."""
        return max(self.base, round(self.base * self.times))

    def at(self, second: float) -> tuple[int, float] | None:
        """Users and how many of them come or go per second; None when the run is over."""
        if second >= self.run_s:
            return None
        rate = max(1.0, math.ceil(self.most / CROWD_WITHIN_S))
        there = self.episode.from_s <= second < self.episode.to_s
        return (self.most if there else self.base), rate
