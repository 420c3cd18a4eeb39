"""Wiring of the benchmark of the join."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from contracts.messages import Topic
from services.bench.engine.machine import machine_of
from services.bench.join.run import Measured, measure
from services.bench.join.whole import Message, Whole, fill, messages, run_until_sampled
from services.gateways.event_stream.in_redis import RedisEventStream
from services.gateways.join_state.on_disk import DiskJoinState
from services.gateways.redis_link import RedisTimes
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import ServerOptions, start_redis
from services.samples.main import create_loop, owner_of
from services.samples.metrics import SamplesMetrics
from services.samples.settings import SamplesSettings

# The rules of the pure join's run; event time follows the log within a second.
WINDOW_S, GAP_S, LATENESS_S, IDLE_S = 60.0, 30.0, 10.0, 1.0
# A benchmark waits for a server that is busy.
PATIENT = RedisTimes(connect_s=2.0, answer_s=5.0, free_connection_s=5.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run, and where it ran."""

    machine: dict[str, str | int | float]
    measured: Measured
    whole: Whole | None = None

    @property
    def mb_per_million(self) -> float:
        """MiB per million open sessions."""
        return self.measured.open_mb / self.measured.open_sessions * 1_000_000

    def content(self) -> dict[str, object]:
        """One JSON object."""
        content: dict[str, object] = {
            "machine": self.machine,
            "rows": [asdict(self.measured)],
            "interactions_per_s": round(self.measured.per_s),
            "mb_per_million_open_sessions": round(self.mb_per_million),
        }
        if self.whole is not None:
            content |= {"whole": asdict(self.whole), "whole_interactions_per_s": round(self.whole.per_s)}
        return content

    def page(self) -> str:
        """For people."""
        one = self.measured
        shown = (
            f"{one.interactions:,} interactions, {one.samples:,} samples: {one.per_s:,.0f} interactions/s of one core\n"
            f"{one.open_sessions:,} open sessions: {one.open_mb:,.0f} MiB, "
            f"{self.mb_per_million:,.0f} MiB per million"
        )
        if (whole := self.whole) is not None:
            shown += (
                f"\nwith stream and disk: {whole.per_s:,.0f} interactions/s, {whole.samples:,} samples in "
                f"{whole.wall_s:.1f} s, of which this process used a processor for {whole.processor_s:.1f} s"
            )
        return shown


def run(views: int, users: int, sessions: int, seed: int, started: datetime, *, whole: bool = False) -> Outcome:
    """Measure; `whole`: also the process's loop, on an embedded stream and with its state in a temporary directory."""
    machine, measured = machine_of("cpu", 1, started), measure(views, users, sessions, seed)
    if not whole:
        return Outcome(machine, measured)
    with tempfile.TemporaryDirectory(prefix="rankgr-bench-join-") as directory:
        return Outcome(machine, measured, measure_whole(messages(views, users, seed), views, Path(directory)))


def measure_whole(found: list[Message], views: int, directory: Path) -> Whole:
    """The loop over these messages, of so many page views; stream and state live in this directory."""
    server = start_redis(directory, ServerOptions(append_only=True, fsync="always"))
    try:
        return asyncio.run(_whole(found, views, server.url, directory))
    finally:
        server.stop()


async def _whole(found: list[Message], views: int, url: str, directory: Path) -> Whole:
    settings = SamplesSettings(
        state=directory / "samples.sqlite", window_s=WINDOW_S, gap_s=GAP_S, lateness_s=LATENESS_S, idle_s=IDLE_S
    )
    clock, state = SystemClock(), DiskJoinState(settings.state)
    stream = RedisEventStream.connect(url, clock, times=PATIENT)
    try:
        await fill(stream, found)
        kept = await state.begin(owner_of(settings))
        topics = create_loop(settings, stream, state, kept, SamplesMetrics(CollectorRegistry()))
        interactions = sum(topic == Topic.INTERACTIONS for topic, _key, _payload in found)
        whole = await run_until_sampled(topics, stream, views, interactions)
        await topics.close()
        return whole
    finally:
        await state.close()
        await stream.close()
