"""Wiring of the benchmark of the join."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from services.bench.engine.machine import machine_of
from services.bench.join.run import Measured, measure


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run, and where it ran."""

    machine: dict[str, str | int | float]
    measured: Measured

    @property
    def mb_per_million(self) -> float:
        """MiB per million open sessions."""
        return self.measured.open_mb / self.measured.open_sessions * 1_000_000

    def content(self) -> dict[str, object]:
        """One JSON object."""
        return {
            "machine": self.machine,
            "rows": [asdict(self.measured)],
            "interactions_per_s": round(self.measured.per_s),
            "mb_per_million_open_sessions": round(self.mb_per_million),
        }

    def page(self) -> str:
        """For people."""
        one = self.measured
        return (
            f"{one.interactions:,} interactions, {one.samples:,} samples: {one.per_s:,.0f} interactions/s of one core\n"
            f"{one.open_sessions:,} open sessions: {one.open_mb:,.0f} MiB, "
            f"{self.mb_per_million:,.0f} MiB per million"
        )


def run(views: int, users: int, sessions: int, seed: int, started: datetime) -> Outcome:
    """Measure."""
    return Outcome(machine_of("cpu", 1, started), measure(views, users, sessions, seed))
