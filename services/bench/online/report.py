"""A run in words: the JSON that interfaces promise, and a page of Markdown tables."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SATURATION = "saturation"
PACKAGES = ("fastapi", "uvicorn", "uvloop", "httptools", "redis", "hiredis", "msgspec", "pydantic", "kafka-python")

Machine = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Row:
    """A case at one rate (`saturation`, or a share of it); latencies in ms, CPU of the server in microseconds.

    `core_share`: how much of its core the server had.  Saturated and far below 1, others had the rest, and the rate is
    theirs as much as the server's.
    """

    case: str
    rate: str
    rps: float
    p50_ms: float
    p99_ms: float
    errors: int
    offered_rps: float | None = None
    cpu_us_per_request: float | None = None
    core_share: float | None = None
    peak_rss_mb: float | None = None
    ready_after_s: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """Good answers against what was offered, per second."""

    times: float
    offered_rps: float
    good_rps: float
    refused_rps: float
    given_up_rps: float
    late_rps: float
    failed: int
    p99_ms: float
    core_share: float


@dataclass(slots=True)
class Outcome:
    """All that a run found."""

    machine: Machine
    rows: list[Row] = field(default_factory=list)
    overload: list[Load] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def saturation_of(self, case: str) -> float | None:
        """Answers a second; None: it was not measured."""
        return next((row.rps for row in self.rows if row.case == case and row.rate == SATURATION), None)

    def content(self) -> dict[str, object]:
        """For --json."""
        return {
            "machine": self.machine,
            "rows": [asdict(row) for row in self.rows],
            "overload": [asdict(load) for load in self.overload],
            "skipped": [{"case": case, "why": why} for case, why in self.skipped],
        }

    def page(self) -> str:
        """Markdown."""
        lines = [f"- {name}: {value}" for name, value in self.machine.items()]
        lines += [f"- {case} left out: {why}" for case, why in self.skipped]
        lines += ["", *table(_HEAD, [_cells(row) for row in self.rows])]
        if self.overload:
            lines += ["", *table(_LOAD_HEAD, [_load_cells(load) for load in self.overload])]
        return "\n".join([*lines, ""])


_HEAD = (
    "case | rate | offered/s | answers/s | p50 ms | p99 ms | errors | CPU us/request | of a core | peak MB | "
    "ready after s | note"
)
_LOAD_HEAD = (
    "times saturation | offered/s | good/s | refused/s | given up/s | late/s | failed | p99 ms of the good | of a core"
)


def _cells(row: Row) -> list[str]:
    return [
        row.case,
        row.rate,
        "-" if row.offered_rps is None else f"{row.offered_rps:,.0f}",
        f"{row.rps:,.0f}",
        f"{row.p50_ms:.2f}",
        f"{row.p99_ms:.2f}",
        str(row.errors),
        "-" if row.cpu_us_per_request is None else f"{row.cpu_us_per_request:.0f}",
        "-" if row.core_share is None else f"{row.core_share:.0%}",
        "-" if row.peak_rss_mb is None else f"{row.peak_rss_mb:.0f}",
        "-" if row.ready_after_s is None else f"{row.ready_after_s:.2f}",
        row.note or "-",
    ]


def _load_cells(load: Load) -> list[str]:
    rates = (load.offered_rps, load.good_rps, load.refused_rps, load.given_up_rps, load.late_rps)
    return [
        f"{load.times:g}",
        *(f"{rate:,.0f}" for rate in rates),
        str(load.failed),
        f"{load.p99_ms:.0f}",
        f"{load.core_share:.0%}",
    ]


def table(head: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; `head` has its bars already."""
    return [f"| {head} |", "|" + " --- |" * (head.count("|") + 1), *(f"| {' | '.join(row)} |" for row in rows)]


def machine_now(started: datetime, server: str) -> Machine:
    """Hardware, versions, load and commit."""
    known: Machine = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "store": server,
        "load_average_before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
        "started_at": started.isoformat(timespec="seconds"),
    }
    return known | {name: found for name in PACKAGES if (found := _version(name)) is not None}


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parents[3]), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    except OSError:
        return "unknown"
