"""Wiring of the benchmark: stores, lists, servers, and the files that a run leaves."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from redis import Redis

from contracts.errors import BadRequest
from contracts.manifest import MANIFEST_FILE, POPULAR_FILE
from services.bench.online.cases import NAMES, STORE_CASE
from services.bench.online.cores import Cores
from services.bench.online.plain import document_of, plain_key
from services.bench.online.report import Outcome, machine_now
from services.bench.online.run import Length, OnlineBench
from services.bench.online.shape import Shape
from services.bench.online.starts import Starts, in_turn
from services.bench.online.wrk import find_wrk
from services.gateways.candidate_store.in_redis import RedisCandidateStore
from services.gateways.redis_link import RedisTimes
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions, start_redis

FULL = Length(saturation_s=8.0, rate_s=8.0, overload_s=60.0)
# One case of every server; those of one server differ in what is asked.
START_CASES = ("empty_route", "plain_page50", "trigger_streams", "retrieve_page50")
STARTED = tuple(name for name in NAMES if name != STORE_CASE)
QUICK = Length(saturation_s=2.0, rate_s=2.0, overload_s=2.0)


@dataclass(frozen=True, slots=True)
class Options:
    """What a run may be told; no cases mean all.  Raises BadRequest for a case nobody knows."""

    cases: tuple[str, ...]
    quick: bool
    overload: bool

    def __post_init__(self) -> None:
        if unknown := [name for name in self.cases if name not in NAMES]:
            raise BadRequest(f"case {unknown[0]!r} is none of {', '.join(NAMES)}")


def run(options: Options, started: datetime, say: Callable[[str], None]) -> Outcome:
    """Measure.  Call it from the main thread.  Raises Unavailable with what is missing."""
    find_wrk()
    length = QUICK if options.quick else FULL
    if not options.overload:
        length = Length(length.saturation_s, length.rate_s, 0.0)
    with _bench(length, say) as bench:
        outcome = Outcome(machine_now(started, _named(bench.store)))
        say(f"storing {bench.shape.users} lists of {bench.shape.items}")
        outcome.machine["store_bytes_per_list"] = asyncio.run(_store_lists(bench.store, bench.shape))
        bench.run(options.cases or NAMES, outcome)
    return outcome


def run_starts(cases: tuple[str, ...], times: int, started: datetime, say: Callable[[str], None]) -> Starts:
    """Start servers so many times.  Raises BadRequest for a case nobody knows, Unavailable with what is missing."""
    if unknown := [name for name in cases if name not in STARTED]:
        raise BadRequest(f"case {unknown[0]!r} is none of {', '.join(STARTED)}")
    with _bench(QUICK, say) as bench:
        # One list: the plain version says that it is ready by answering for a user.
        asyncio.run(_store_lists(bench.store, Shape(users=1)))
        found = Starts(machine_now(started, _named(bench.store)))
        found.rows = in_turn(cases or START_CASES, times, bench.start)
    return found


@contextmanager
def _bench(length: Length, say: Callable[[str], None]) -> Iterator[OnlineBench]:
    shape, cores = Shape(), Cores.of_this_machine()
    with ExitStack() as running:
        directory = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="rankgr-bench-")))
        # Whoever is started from here on inherits the cores of the generator, but for the servers.
        usable = os.sched_getaffinity(0)
        running.callback(os.sched_setaffinity, 0, usable)
        os.sched_setaffinity(0, cores.others)
        store = _started(running, directory / "store", ServerOptions())
        stream = _started(running, directory / "stream", ServerOptions(append_only=True))
        bundle = _popular_only(directory / "bundle")
        yield OnlineBench(store, stream, bundle, directory, cores, shape, length, say)


def _started(running: ExitStack, directory: Path, options: ServerOptions) -> EmbeddedRedis:
    server = start_redis(directory, options)
    running.callback(server.stop)
    return server


def _named(server: EmbeddedRedis) -> str:
    with Redis(port=server.port) as client:
        info = client.info()
    name = "Valkey" if "valkey_version" in info else "Redis"
    found = info.get("valkey_version", info["redis_version"])
    return f"{name} {found}, {info.get('mem_allocator', 'allocator unknown')}"


async def _store_lists(server: EmbeddedRedis, shape: Shape) -> int:
    """Both forms of every list; how many bytes of memory a packed one takes."""
    store = RedisCandidateStore.connect(server.url, times=RedisTimes(connect_s=5.0, answer_s=5.0))
    with Redis(port=server.port) as client:
        for candidates in shape.lists(time.time_ns() // 1_000_000):
            await store.put(candidates)
            client.set(plain_key(candidates.user_id), document_of(candidates))
        used = client.memory_usage("rankgr:candidates:{0}", samples=0)
    await store.close()
    return int(used or 0)


def _popular_only(bundle: Path) -> Path:
    """As much of a bundle as retrieval reads."""
    bundle.mkdir()
    popular = json.dumps({"default": list(range(2000)), "scenes": {}}).encode()
    (bundle / POPULAR_FILE).write_bytes(popular)
    manifest = {
        "format": 1, "model_version": "bench", "catalog_version": "bench", "created_at": "", "data": {}, "metrics": {},
        "files": {POPULAR_FILE: hashlib.sha256(popular).hexdigest()},
    }  # fmt: skip
    (bundle / MANIFEST_FILE).write_text(json.dumps(manifest))
    return bundle
