"""How fast prompts leave the engine, as seen from outside any host: what `Retry-After` is estimated from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.runtime.clock import Clock

# Each answer moves the estimate by a tenth: two dozen answers after a change it has mostly followed.
_WEIGHT = 0.1


@dataclass(slots=True)
class Visit:
    """One prompt's stay; `answered` is set where it was decoded, for only then its stay tells something."""

    answered: bool = False


@dataclass(slots=True)
class Pace:
    """Seconds that the engine needs per prompt, batching and everything included; 0 until something was answered.

    Little's law: while a prompt stays t seconds among n on average, prompts leave at the rate n / t, on whatever
    host and in whatever batches.
    """

    clock: Clock
    per_prompt_s: float = 0.0
    inside: int = 0
    _area: float = 0.0
    _known_until_s: float = 0.0

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        """Around one prompt's stay."""
        began_s, before = self._counted(1), self._area
        visit = Visit()
        try:
            yield visit
        finally:
            stay_s = self._counted(-1) - began_s
            if visit.answered and stay_s > 0:
                self._note(stay_s * stay_s / (self._area - before))

    def seconds_for(self, prompts: int) -> float:
        """How long that many prompts take."""
        return prompts * self.per_prompt_s

    def _counted(self, change: int) -> float:
        """Now; `_area` is the number inside, summed over the time until then."""
        now_s = self.clock.monotonic_s()
        self._area += self.inside * (now_s - self._known_until_s)
        self._known_until_s = now_s
        self.inside += change
        return now_s

    def _note(self, per_prompt_s: float) -> None:
        first = self.per_prompt_s == 0.0
        self.per_prompt_s += (per_prompt_s - self.per_prompt_s) * (1.0 if first else _WEIGHT)
