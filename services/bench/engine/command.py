"""`reference_command`: any other program, timed in turns with our hosts.

The program is run as it is given.  Where its output holds figures like `381 ms/user`, the last one counts; else the
whole run counts as one user.  `RANKGR_BENCH_BUNDLE` and `RANKGR_BENCH_PROMPT_TOKENS` tell it what is measured.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.bench.engine.memory import peak_mb
from services.bench.engine.process import HostLost

WITHIN_S = 900.0
LOOK_EVERY_S = 0.05
_PRINTED = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*ms/user")


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds per user, whether the program said so itself, and its peak of resident memory."""

    ms: float
    printed: bool
    peak_rss_mb: float


def time_command(command: str, environment: Mapping[str, str]) -> Timed:
    """Run it once.  Raises HostLost where it cannot be run, fails or takes too long."""
    with tempfile.TemporaryDirectory(prefix="rankgr-bench-") as directory:
        log = Path(directory) / "said"
        started = time.perf_counter()
        try:
            with log.open("w") as says:
                process = subprocess.Popen(
                    shlex.split(command),
                    env={**environment},
                    stdin=subprocess.DEVNULL,
                    stdout=says,
                    stderr=subprocess.STDOUT,
                )
        except (OSError, ValueError, IndexError) as error:
            raise HostLost(f"cannot be run: {error}") from error
        peak_rss_mb = _watched(process, started + WITHIN_S)
        ms = (time.perf_counter() - started) * 1e3
        said = log.read_text(errors="replace")
    if process.returncode:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        raise HostLost(f"ended with {process.returncode}: {lines[-1] if lines else 'without a word'}")
    printed = _PRINTED.findall(said)
    return Timed(float(printed[-1]) if printed else ms, bool(printed), peak_rss_mb)


def _watched(process: subprocess.Popen[bytes], until_s: float) -> float:
    """Wait for the end; peak memory as last seen, a moment before it (only the kernel knows, and forgets at once)."""
    peak_rss_mb = 0.0
    while process.poll() is None:
        peak_rss_mb = max(peak_rss_mb, peak_mb(process.pid))
        if time.perf_counter() > until_s:
            process.kill()
            process.wait()
            raise HostLost(f"took more than {WITHIN_S:.0f} s")
        time.sleep(LOOK_EVERY_S)
    return peak_rss_mb
