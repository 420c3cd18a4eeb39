"""What a run measured, second by second: counts and times of every row, from one process or merged from many.

Locust keeps one histogram per row for the whole run, rounds its times, and lets workers report every three seconds;
curves over time from several processes need a finer account.  Reads no clock and knows no network.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

MS_PER_BIN = 0.1
# Beyond this many bins a time keeps three digits: a slow answer's tenth of a millisecond means nothing.
EXACT_BINS = 1000


class Kind(StrEnum):
    """What a row counts."""

    REQUEST = "request"
    LIST = "list"
    """First pages by outcome; the time runs from the trigger's sending to the list in hand."""
    MASKING = "masking"
    """First pages of a request whose trigger was taken: the list was `ready` when it was asked for, or was not."""
    LATENESS = "lateness"
    """How long after its due time a row of a trace was sent."""


class Result(StrEnum):
    """How a request ended."""

    OK = "ok"
    REFUSED = "refused"
    """Told to come again: 429 anywhere, 503 where events are taken."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Row:
    """What is counted together."""

    kind: Kind
    name: str


@dataclass(slots=True)
class Cell:
    """One row in one second: how many answers took how long (in bins), how many were refused, how many failed."""

    bins: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    failed: int = 0

    def add(self, other: Cell) -> None:
        """Count what the other has on top."""
        self.bins.update(other.bins)
        self.refused += other.refused
        self.failed += other.failed


@dataclass(frozen=True, slots=True)
class Measured:
    """One row over some seconds: times in milliseconds, NaN where there is none."""

    name: str
    count: int
    refused: int
    failures: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


# A cell as it travels from a worker: kind, name, second, [[bin, count], ...], refused, failed.
Part = tuple[str, str, int, list[tuple[int, int]], int, int]


@dataclass(slots=True)
class Timeline:
    """Cells by row and Unix second; `reasons` says why requests failed, and how often."""

    cells: dict[Row, dict[int, Cell]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    def note(self, row: Row, second: int, ms: float, result: Result = Result.OK) -> None:
        """Count one."""
        cell = self._cell(row, second)
        cell.bins[_bin(ms)] += 1
        cell.refused += result is Result.REFUSED
        cell.failed += result is Result.FAILED

    def note_reason(self, reason: str) -> None:
        """Count why something failed."""
        self.reasons[reason] += 1

    def rows(self, kind: Kind) -> list[Row]:
        """In the order in which they first came."""
        return [row for row in self.cells if row.kind is kind]

    def span(self) -> range:
        """The seconds from the first to the last in which anything was counted."""
        seconds = [second for cells in self.cells.values() for second in cells]
        return range(min(seconds), max(seconds) + 1) if seconds else range(0)

    def measured(self, row: Row, seconds: range | None = None) -> Measured:
        """The row over these seconds; over the whole run if none are named."""
        within = self.span() if seconds is None else seconds
        total = Cell()
        for second, cell in self.cells.get(row, {}).items():
            if second in within:
                total.add(cell)
        count = total.bins.total()
        p50_ms, p95_ms, p99_ms = (percentile(total.bins, share) for share in (0.50, 0.95, 0.99))
        rate = count / len(within) if len(within) else 0.0
        return Measured(row.name, count, total.refused, total.failed, rate, p50_ms, p95_ms, p99_ms)

    def count(self, row: Row, seconds: range | None = None) -> int:
        """How many there were."""
        cells = self.cells.get(row, {}).items()
        return sum(cell.bins.total() for second, cell in cells if seconds is None or second in seconds)

    def share(self, row: Row, seconds: range | None = None) -> float:
        """This row's part of all of its kind; NaN where there is none."""
        total = sum(self.count(one, seconds) for one in self.rows(row.kind))
        return self.count(row, seconds) / total if total else math.nan

    def drain(self) -> tuple[list[Part], dict[str, int]]:
        """What was counted since the last time, in a form that can be sent; here it is forgotten."""
        parts: list[Part] = [
            (row.kind.value, row.name, second, list(cell.bins.items()), cell.refused, cell.failed)
            for row, cells in self.cells.items()
            for second, cell in cells.items()
        ]
        reasons = dict(self.reasons)
        self.clear()
        return parts, reasons

    def merge(self, parts: Iterable[Part], reasons: dict[str, int]) -> None:
        """Count what another process sent."""
        for kind, name, second, bins, refused, failed in parts:
            self._cell(Row(Kind(kind), name), second).add(Cell(Counter(dict(bins)), refused, failed))
        self.reasons.update(reasons)

    def clear(self) -> None:
        """Forget everything."""
        self.cells.clear()
        self.reasons.clear()

    def _cell(self, row: Row, second: int) -> Cell:
        return self.cells.setdefault(row, {}).setdefault(second, Cell())


def percentile(bins: Counter[int], share: float) -> float:
    """The least time within which this share of the answers came, ms; NaN without answers."""
    wanted, seen = share * bins.total(), 0
    for place in sorted(bins):
        seen += bins[place]
        if seen >= wanted:
            return place * MS_PER_BIN
    return math.nan


def _bin(ms: float) -> int:
    exact = max(0, round(ms / MS_PER_BIN))
    if exact < EXACT_BINS:
        return exact
    step: int = 10 ** (len(str(exact)) - 3)
    return round(exact / step) * step
