"""Saturation by wrk: closed-loop connections that ask as fast as they are answered."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import Unavailable
from services.bench.online.cores import pinned

_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
# Requests are made before the clock starts; wrk then goes round them.
_SCRIPT = """
local requests = {}
for line in io.lines("%s") do
  requests[#requests + 1] = line:gsub("\\\\r\\\\n", "\\r\\n")
end
local at = 0
request = function()
  at = at %% #requests + 1
  return requests[at]
end
"""


@dataclass(frozen=True, slots=True)
class Saturation:
    """What wrk saw: answers per second, latencies in milliseconds, answers that were no 2xx or came not at all."""

    rps: float
    p50_ms: float
    p99_ms: float
    errors: int
    answers: int


def find_wrk() -> str:
    """The program; Unavailable with what to install."""
    found = shutil.which("wrk")
    if found is None:
        raise Unavailable("wrk is not on PATH: install Debian's package wrk (apt-get install wrk)")
    return found


def saturate(
    port: int, requests: Sequence[str], *, connections: int, seconds: float, cores: frozenset[int], directory: Path
) -> Saturation:
    """Ask with that many connections for so long.  Raises Unavailable."""
    lines, script = directory / "requests.txt", directory / "requests.lua"
    lines.write_text("".join(request.replace("\r\n", "\\r\\n") + "\n" for request in requests))
    script.write_text(_SCRIPT % lines)
    command = [find_wrk(), "--threads", "1", "--connections", str(connections), "--timeout", "5s", "--latency"]
    command += ["--duration", f"{seconds:.0f}s", "--script", str(script), f"http://127.0.0.1:{port}/"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=pinned(cores))
    if ended.returncode != 0:
        raise Unavailable(f"wrk failed: {ended.stderr.strip() or ended.stdout.strip()}")
    return read_report(ended.stdout)


def read_report(text: str) -> Saturation:
    """wrk's words as numbers.  Raises Unavailable where they are other words."""
    rps = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p50, p99 = (re.search(rf"{share}%\s+([\d.]+)(us|ms|s|m)\b", text) for share in (50, 99))
    answers = re.search(r"(\d+) requests in", text)
    if rps is None or p50 is None or p99 is None or answers is None:
        raise Unavailable("wrk said something else than expected")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = int(refused[1]) if refused else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    return Saturation(
        float(rps[1]), float(p50[1]) * _UNITS_MS[p50[2]], float(p99[1]) * _UNITS_MS[p99[2]], errors, int(answers[1])
    )
