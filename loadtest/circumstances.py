"""Where, when and how a run was made.  Without them figures are no report."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """`load_before`, `load_after`: the machine's load averages over 1, 5 and 15 minutes."""

    scenario: str
    began: str
    commit: str
    machine: str
    command: str
    load_before: str
    load_after: str = ""

    def lines(self) -> list[tuple[str, str]]:
        """What to print, in order."""
        return [
            ("scenario", self.scenario),
            ("began", self.began),
            ("commit", self.commit),
            ("machine", self.machine),
            ("command", self.command),
            ("load average", f"{self.load_before} before, {self.load_after} after"),
        ]


def circumstances(scenario: str, command: str) -> Circumstances:
    """As they are now."""
    machine = f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}, locust {version('locust')}"
    began = datetime.now(UTC).isoformat(timespec="minutes")
    return Circumstances(scenario, began, _commit(), machine, command, load_average())


def load_average() -> str:
    """Over 1, 5 and 15 minutes."""
    return " ".join(f"{average:.1f}" for average in os.getloadavg())


def _commit() -> str:
    """Unknown where there is no git, as in an image, or no repository."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    except OSError:
        return "unknown"


def _processor() -> str:
    try:
        named = [line.partition(":")[2].strip() for line in CPU_INFO.read_text().splitlines() if "model name" in line]
    except OSError:
        named = []
    return f"{platform.machine()} ({named[0]})" if named else platform.machine()
