"""How long each part of one trigger's way took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.runtime.clock import Clock


@dataclass(slots=True)
class Stages:
    """A stopwatch whose laps have names; `took_ms` is what it has read so far."""

    clock: Clock
    took_ms: dict[str, float]
    lap_began_s: float

    @classmethod
    def begin(cls, clock: Clock, took_ms: Mapping[str, float]) -> Stages:
        """Start now; `took_ms` is what came before."""
        return cls(clock, dict(took_ms), clock.monotonic_s())

    def end(self, name: str, parts_ms: Mapping[str, float] | None = None) -> None:
        """End a lap.  `parts_ms` are its own stages as somebody else measured them, kept under their names."""
        now_s = self.clock.monotonic_s()
        self.took_ms[name] = round((now_s - self.lap_began_s) * 1000, 3)
        self.took_ms |= {part: round(ms, 3) for part, ms in (parts_ms or {}).items()}
        self.lap_began_s = now_s
