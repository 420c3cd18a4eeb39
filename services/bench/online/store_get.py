"""GET of the packed lists with nothing in between: redis-benchmark where there is one, else a loop of our own."""

from __future__ import annotations

import asyncio
import csv
import shutil
import subprocess
import time
from dataclasses import dataclass

from services.bench.online.cores import pinned
from services.bench.online.open_loop import quantile
from services.gateways.redis_link import RedisTimes
from services.gateways.redis_link.mux import MuxRedis
from services.gateways.redis_link.resp import command


@dataclass(frozen=True, slots=True)
class Gets:
    """How fast the value comes back, and by which program."""

    rps: float
    p50_ms: float
    p99_ms: float
    program: str


def measure_gets(port: int, key: str, *, connections: int, calls: int, cores: frozenset[int]) -> Gets:
    """GET one key over so many connections."""
    for name in ("valkey-benchmark", "redis-benchmark"):
        if found := shutil.which(name):
            command_line = [found, "-p", str(port), "-c", str(connections), "-n", str(calls), "--csv", "GET", key]
            ended = subprocess.run(command_line, capture_output=True, text=True, check=True, preexec_fn=pinned(cores))
            row = list(csv.DictReader(ended.stdout.splitlines()))[-1]
            return Gets(float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"]), name)
    return asyncio.run(_own_loop(port, key.encode(), connections, calls))


async def _own_loop(port: int, key: bytes, callers: int, calls: int) -> Gets:
    mux = MuxRedis.connect(f"redis://127.0.0.1:{port}/0", RedisTimes(connect_s=5.0, answer_s=5.0))
    took: list[float] = []

    async def caller() -> None:
        for _ in range(calls // callers):
            began = time.perf_counter()
            await mux.ask(key, command(b"GET", key))
            took.append(1000 * (time.perf_counter() - began))

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    seconds = time.perf_counter() - began
    await mux.close()
    took.sort()
    return Gets(len(took) / seconds, quantile(took, 0.5), quantile(took, 0.99), "own loop over one connection")
