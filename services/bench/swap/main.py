"""Wiring of the benchmark of swaps: bundles, store, engine process, load."""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import numpy as np

from contracts.behaviors import Level
from contracts.progress import Progress
from model.bundle.prompt_side import read_prompt_side
from model.prompt import PromptContext, prompt_from_history
from services.bench.engine.bundles import bundle_of
from services.bench.engine.machine import machine_of
from services.bench.engine.shapes import SHAPES
from services.bench.online.served import Served, serving
from services.bench.swap.load import Load
from services.bench.swap.report import Outcome
from services.bench.swap.run import MeasureSwaps
from services.bundles.promote import PromoteBundle
from services.bundles.roll_back import RollBack
from services.gateways.bundle_store.chosen import open_bundle_store
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import free_port

USERS = 8
# vLLM takes its time, more so on a busy machine.
READY_WITHIN_S = 300.0
BY = "rankgr bench swap"
STAGE = re.compile(r'^rankgr_bundle_swap_seconds_(sum|count){stage="(\w+)"} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Options:
    """What a run may be told.  `rate`: requests a second; `history`: items of each user's; `host`: torch or vllm."""

    shape: str
    rounds: int
    rate: float
    history: int
    threads: int
    host: str
    cache: Path


def run(options: Options, started: datetime, progress: Progress) -> Outcome:
    """Measure.  Raises Unavailable where the engine does not start or does not follow."""
    shape, clock = SHAPES[options.shape], SystemClock()
    bundles = tuple(bundle_of(shape, seed, options.cache, started) for seed in (0, 1))
    sides = [read_prompt_side(one) for one in bundles]
    port, cores = free_port(), frozenset(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="rankgr-bench-swap-") as name:
        place = Path(name)
        store = open_bundle_store(str(place / "store"))
        promote = PromoteBundle(store, clock, BY, keep=4)
        promote(bundles[0])
        told = {
            "RANKGR_BUNDLE_STORE": str(place / "store"),
            "RANKGR_ENGINE_PORT": str(port),
            "RANKGR_ENGINE_THREADS": str(options.threads),
            "RANKGR_ENGINE_MODEL_HOST": options.host,
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        words = ("-m", "services.cli", "serve", "engine")
        progress.begin("swaps", options.rounds)
        with serving(words, port, "/readyz", told, cores, place / "log", READY_WITHIN_S) as engine:
            bodies = _bodies(options.history, bundles[0])
            load = Load(f"http://127.0.0.1:{port}", options.rate, bodies, clock)
            measure = MeasureSwaps(
                load,
                promote,
                RollBack(store, clock, BY),
                (bundles[0], bundles[1]),
                (sides[0].manifest.model_version, sides[1].manifest.model_version),
                clock,
            )
            before = _rss_mb(engine)
            found = asyncio.run(measure(options.rounds, progress.advance))
            after, stages_s = _rss_mb(engine), _stages(port)
    known = {side.manifest.model_version for side in sides}
    size = sum(path.stat().st_size for path in bundles[0].rglob("*") if path.is_file())
    return Outcome(
        machine=machine_of("cpu", options.threads, started),
        shape={
            "name": options.shape,
            "host": options.host,
            "bundle_bytes": size,
            "rate": options.rate,
            "prompt_tokens": len(bodies[0]["tokens"]),  # type: ignore[arg-type]
        },
        quiet=found.quiet,
        swaps=found.swaps,
        requests=len(found.asked),
        dropped=sum(one.status != 200 for one in found.asked),
        mixed=sum(one.status == 200 and (not one.whole or one.model not in known) for one in found.asked),
        rss_mb=(before, after),
        stages_s=stages_s,
    )


def write(outcome: Outcome, directory: Path) -> list[Path]:
    """result.json and table.md."""
    directory.mkdir(parents=True, exist_ok=True)
    result, table = directory / "result.json", directory / "table.md"
    result.write_text(json.dumps(outcome.content(), indent=1) + "\n")
    table.write_text(outcome.page() + "\n")
    return [result, table]


def _bodies(history: int, bundle: Path) -> list[dict[str, object]]:
    """A prompt of random items for each user; of one catalogue, and valid tokens in the other."""
    side = read_prompt_side(bundle)
    clicks = [int(Level.CLICK)] * history
    bodies: list[dict[str, object]] = []
    for user in range(USERS):
        items = np.random.default_rng(user).choice(side.catalog.item_id, history).tolist()
        prompt = prompt_from_history(side.prompt_format, side.catalog, items, clicks, PromptContext())
        bodies.append({"user_id": f"u{user}", "tokens": prompt.tokens.tolist(), "max_items": 50, "level_scores": False})
    return bodies


def _stages(port: int) -> dict[str, float]:
    """Mean seconds of each stage of a swap, from the engine's own histogram."""
    page = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10.0).text
    found = {
        (kind, stage): float(value)
        for kind, stage, value in re.findall(
            r'^rankgr_bundle_swap_seconds_(sum|count){stage="(\w+)"} (\S+)$', page, re.M
        )
    }
    return {stage: round(found["sum", stage] / count, 3) for (kind, stage), count in found.items() if kind == "count"}


def _rss_mb(engine: Served) -> float:
    pages = int(Path(f"/proc/{engine.process.pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
