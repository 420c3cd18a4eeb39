"""One server at a time, as a process on its own core; what it costs is read from /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import Unavailable
from services.bench.online.cores import pinned

READY_WITHIN_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Served:
    """A running server and the port it answers on."""

    process: subprocess.Popen[bytes]
    port: int
    ready_after_s: float

    def cpu_s(self) -> float:
        """CPU seconds that it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def peak_rss_mb(self) -> float:
        """The most memory it held."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0


@contextmanager
def serving(  # noqa: PLR0913 - what a process is started with
    words: Sequence[str],
    port: int,
    path: str,
    told: Mapping[str, str],
    cores: frozenset[int],
    log: Path,
    within_s: float = READY_WITHIN_S,
) -> Iterator[Served]:
    """`python WORDS` answers 200 on `path` inside the block.  Raises Unavailable with its last words."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RANKGR_")}
    began = time.monotonic()
    with log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, *words], env=plain | dict(told), stdout=err, stderr=err, preexec_fn=pinned(cores)
        )
    try:
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            if process.poll() is not None or time.monotonic() - began > within_s:
                last = log.read_text(errors="replace").strip().splitlines()
                raise Unavailable(f"{' '.join(words)} does not serve: {last[-1] if last else 'no word'}")
            time.sleep(0.01)
        yield Served(process, port, time.monotonic() - began)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
