"""How long a process takes until it answers, and what that costs: several starts of each, in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

from services.bench.online.report import Machine, table

HEAD = "case | starts | ready after s | fastest | slowest | CPU s | MB"


@dataclass(frozen=True, slots=True)
class Start:
    """One start: wall and CPU seconds until the process said that it is ready, and its memory then."""

    ready_after_s: float
    cpu_s: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class StartRow:
    """A case's starts: medians, and the extremes of the wall time."""

    case: str
    starts: int
    ready_after_s: float
    fastest_s: float
    slowest_s: float
    cpu_s: float
    rss_mb: float

    @classmethod
    def of(cls, case: str, starts: Sequence[Start]) -> StartRow:
        """What these starts have in common."""
        walls = [one.ready_after_s for one in starts]
        return cls(
            case,
            len(starts),
            round(median(walls), 3),
            round(min(walls), 3),
            round(max(walls), 3),
            round(median(one.cpu_s for one in starts), 3),
            round(median(one.rss_mb for one in starts), 1),
        )


@dataclass(slots=True)
class Starts:
    """All that a run found."""

    machine: Machine
    rows: list[StartRow] = field(default_factory=list)

    def content(self) -> dict[str, object]:
        """For --json."""
        return {"machine": self.machine, "rows": [asdict(row) for row in self.rows]}

    def page(self) -> str:
        """Markdown."""
        lines = [f"- {name}: {value}" for name, value in self.machine.items()]
        return "\n".join([*lines, "", *table(HEAD, [_cells(row) for row in self.rows]), ""])


def in_turn(cases: Sequence[str], times: int, start: Callable[[str], Start]) -> list[StartRow]:
    """Start every case, then every case again: a machine that slows down slows all of them."""
    found: dict[str, list[Start]] = {case: [] for case in cases}
    for _ in range(times):
        for case in cases:
            found[case].append(start(case))
    return [StartRow.of(case, starts) for case, starts in found.items()]


def _cells(row: StartRow) -> list[str]:
    seconds = (row.ready_after_s, row.fastest_s, row.slowest_s, row.cpu_s)
    return [row.case, str(row.starts), *(f"{one:.2f}" for one in seconds), f"{row.rss_mb:.0f}"]
