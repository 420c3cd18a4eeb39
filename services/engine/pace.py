"""How fast prompts leave the engine, as seen from outside any host: what `Retry-After` is estimated from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp

from services.runtime.clock import Clock

# What was further back than a few of these counts for little.
WINDOW_S = 5.0


@dataclass(slots=True)
class Visit:
    """One prompt's stay; `answered` is set where it was decoded in time."""

    answered: bool = False


@dataclass(slots=True)
class Pace:
    """Seconds that the engine needs per prompt, batching and everything included; 0 until something was answered.

    Time in which somebody was inside over prompts answered in it, the last seconds weighing most.  Who left
    unanswered spent time like the others: were only the lucky ones looked at, an overload would look like none.
    """

    clock: Clock
    inside: int = 0
    _busy_s: float = 0.0
    _answered: float = 0.0
    _known_until_s: float = 0.0

    @property
    def per_prompt_s(self) -> float:
        """As of the last arrival or departure."""
        return self._busy_s / self._answered if self._answered else 0.0

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        """Around one prompt's stay."""
        self._count(1)
        visit = Visit()
        try:
            yield visit
        finally:
            self._count(-1)
            self._answered += visit.answered

    def seconds_for(self, prompts: int) -> float:
        """How long that many prompts take."""
        return prompts * self.per_prompt_s

    def _count(self, change: int) -> None:
        now_s = self.clock.monotonic_s()
        if self.inside:
            passed_s = now_s - self._known_until_s
            kept = exp(-passed_s / WINDOW_S)
            self._busy_s = self._busy_s * kept + passed_s
            self._answered *= kept
        self._known_until_s = now_s
        self.inside += change
