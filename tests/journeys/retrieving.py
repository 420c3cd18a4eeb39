"""Retrieval processes alone on a Redis of the test's, the lists in it, and load that is offered from outside."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from contracts.candidate_set import Candidate, CandidateSet
from contracts.ids import ItemId, RequestId, UserId
from services.bench.online.open_loop import Offered
from services.gateways.candidate_store.in_redis import RedisCandidateStore
from services.gateways.redis_link import RedisTimes

from .processes import Started

PATIENT = RedisTimes(connect_s=5.0, answer_s=5.0)


def popular_bundle(directory: Path) -> Path:
    """As much of a bundle as retrieval reads; item 1 is the most popular."""
    directory.mkdir()
    popular = json.dumps({"default": list(range(1, 2001)), "scenes": {"home": [50, 51, 52]}}).encode()
    (directory / "popular.json").write_bytes(popular)
    manifest = {
        "format": 1,
        "model_version": "m-1",
        "catalog_version": "c-1",
        "created_at": "",
        "data": {},
        "metrics": {},
        "files": {"popular.json": hashlib.sha256(popular).hexdigest()},
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


async def put_list(redis_url: str, user: str, request: str, items: int = 1400) -> None:
    """A list made just now, items 100000 and on."""
    store = RedisCandidateStore.connect(redis_url, times=PATIENT)
    now = time.time_ns() // 1_000_000
    candidates = tuple(Candidate(ItemId(100_000 + n), -n / 8, (n % 256, n // 256)) for n in range(items))
    await store.put(CandidateSet(UserId(user), RequestId(request), now - 50, now, "m-1", "c-1", candidates))
    await store.close()


def get(path: str) -> str:
    """A request as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"


@dataclass(frozen=True)
class Retrieval:
    """One retrieval process."""

    started: Started
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """CPU seconds that it has used so far."""
        fields = Path(f"/proc/{self.started.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        """The most memory it held."""
        lines = Path(f"/proc/{self.started.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

    async def is_ready(self, client: httpx.AsyncClient) -> bool:
        assert self.started.process.poll() is None, self.started.err
        try:
            return (await client.get(f"{self.url}/readyz")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    async def outcome(self, client: httpx.AsyncClient, path: str) -> str:
        answer = await client.get(f"{self.url}{path}")
        assert answer.status_code == httpx.codes.OK, answer.text
        return str(answer.json()["outcome"])

    async def first_item(self, client: httpx.AsyncClient, path: str) -> int:
        answer = await client.get(f"{self.url}{path}")
        assert answer.status_code == httpx.codes.OK, answer.text
        return int(answer.json()["items"][0]["item_id"])


async def offer(
    port: int, requests: Sequence[str], *, rate: float, seconds: float, connections: int = 16
) -> dict[str, float]:
    """What came of that much load, from a process of its own."""
    offered = Offered(port, rate, seconds, connections, requests)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.bench.online.open_loop"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(json.dumps(asdict(offered)).encode())
    assert process.returncode == 0
    found: dict[str, float] = json.loads(out)
    return found
