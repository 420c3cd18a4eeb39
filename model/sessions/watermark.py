"""How far event time has come: up to here everything has been seen that is not late.

Fed by whoever reads the logs.  Knows no clock: it is told what time it is, and how long a log has been silent.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Part = TypeVar("Part", bound=Hashable)

BEGINNING = 0


@dataclass(slots=True)
class Watermark(Generic[Part]):
    """Milliseconds of event time.  Never goes back.

    The slowest part of a log decides, `lateness_ms` behind its newest event.  A part that has been read to its end
    and brings nothing for `idle_ms` holds up nobody; where all are silent, wall time goes on in their stead.
    `ahead_ms`: a part so far before the slowest one should wait, or what it brings piles up.
    """

    lateness_ms: int
    idle_ms: int
    ahead_ms: int
    value: int = BEGINNING
    _newest: dict[Part, int] = field(default_factory=dict)
    _silent_since_ms: dict[Part, int] = field(default_factory=dict)
    _idle: set[Part] = field(default_factory=set)

    def add(self, part: Part, newest: int = BEGINNING) -> None:
        """A part that is read from now on; until it brings something, or is idle, event time stands still."""
        self._newest.setdefault(part, newest)

    def marks(self) -> dict[Part, int]:
        """The newest event of each part: what `add` wants to go on from here."""
        return dict(self._newest)

    def restore(self, value: int, marks: Mapping[Part, int]) -> None:
        """Go on from what was kept."""
        self.value = max(self.value, value)
        self._newest.update(marks)

    def saw(self, part: Part, timestamp: int) -> None:
        """An event; its time does not lie beyond that of its publication."""
        if timestamp > self._newest.get(part, BEGINNING):
            self._newest[part] = timestamp
        self._silent_since_ms.pop(part, None)
        self._idle.discard(part)

    def silent(self, part: Part, since_start_ms: int) -> None:
        """Its end has been reached, and nothing came; `since_start_ms` is any clock that never goes back."""
        since = self._silent_since_ms.setdefault(part, since_start_ms)
        if since_start_ms - since >= self.idle_ms:
            self._idle.add(part)

    def away(self, part: Part) -> None:
        """It cannot be read now: whatever it holds, its silence means nothing, and event time waits for it."""
        self._silent_since_ms.pop(part, None)
        self._idle.discard(part)

    def forget(self, part: Part) -> None:
        """It is no more: nobody waits for it."""
        self.away(part)
        self._newest.pop(part, None)

    def advance(self, now_ms: int) -> int:
        """Where event time is now.  `now_ms` is wall time, which counts only where every part is idle."""
        awake = [newest for part, newest in self._newest.items() if part not in self._idle]
        if awake:
            self.value = max(self.value, min(awake) - self.lateness_ms)
        elif self._newest:
            self.value = max(self.value, now_ms - self.lateness_ms)
        return self.value

    def too_far(self) -> frozenset[Part]:
        """Parts that should not be read now: others, which have not been read to their end, lag behind."""
        behind = [
            newest
            for part, newest in self._newest.items()
            if part not in self._idle and part not in self._silent_since_ms
        ]
        if not behind:
            return frozenset()
        limit = min(behind) + self.ahead_ms
        return frozenset(part for part, newest in self._newest.items() if newest > limit)
