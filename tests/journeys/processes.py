"""Real processes of the stack, started by the command line, watched through their output, HTTP and /proc."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROCESSES = ("trigger", "history", "precompute", "engine", "retrieval", "samples", "console")
STOP_WITHIN_S = 30
# Ends at once, and a busy machine is not taken for a store that is down.
CALM = {"RANKGR_DRAIN_S": "0", "RANKGR_RETRIEVAL_STORE_TIMEOUT_MS": "1000"}


def environment(told: Mapping[str, str]) -> dict[str, str]:
    """Ours without what a developer's shell says about RankGR, with `told`, and one thread per process."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RANKGR_")}
    return plain | {**CALM, "OMP_NUM_THREADS": "1", "RANKGR_ENGINE_THREADS": "1"} | dict(told)


def any_ports() -> dict[str, str]:
    """Every process takes a free port of its own."""
    return {f"RANKGR_{name.upper()}_PORT": "0" for name in PROCESSES}


@dataclass(frozen=True, slots=True)
class Started:
    """A running command; its output goes to files."""

    process: subprocess.Popen[bytes]
    out_file: Path
    err_file: Path

    @classmethod
    def start_python(cls, directory: Path, told: Mapping[str, str], *arguments: object) -> Started:
        """Run `python ARGUMENTS` with this much more in its environment; its output lies in `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        out, err = directory / "stdout", directory / "stderr"
        command = [sys.executable, *map(str, arguments)]
        with out.open("wb") as out_stream, err.open("wb") as err_stream:
            process = subprocess.Popen(command, env=environment(told), stdout=out_stream, stderr=err_stream)
        return cls(process, out, err)

    @property
    def out(self) -> str:
        """What it printed so far."""
        return self.out_file.read_text()

    @property
    def err(self) -> str:
        """What it said on stderr so far."""
        return self.err_file.read_text()

    def complaints(self) -> list[str]:
        """What it said on stderr besides its log, whose lines a busy machine may add to."""
        return [line for line in self.err.splitlines() if not line.startswith("{")]

    def is_up(self) -> bool:
        """Whether `rankgr up` says that it serves; fails where it has ended."""
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.err}"
        return "serving model" in self.out

    def urls(self) -> dict[str, str]:
        """Where each process answers, as `rankgr up` prints it."""
        return dict(re.findall(r"^(\w+) +(http://\S+)$", self.out, re.MULTILINE))

    @property
    def rss_bytes(self) -> int:
        """Memory that it holds now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; SIGKILL if it does not listen."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def descendants(pid: int) -> dict[int, str]:
    """Every living process below this one: its id and command line."""
    found: dict[int, str] = {}
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
            found |= descendants(child)
    return found


def is_alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
