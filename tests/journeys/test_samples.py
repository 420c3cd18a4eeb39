"""`rankgr serve samples` as a process: killed in the middle, on either stream; its streams and its disk taken away."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from contracts.errors import StreamDown
from contracts.messages import Topic
from services.gateways.event_stream.port import EventStream
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions, free_port
from services.samples.incoming import Event
from tests.services.samples.test_loop import assert_as_the_oracle_says
from tests.services.samples.world import RULES, Published, page_views, publish

from .brokers import Broker, RedisBroker, TansuBroker
from .conftest import Start
from .processes import Started

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy]

Eventually = Callable[..., Awaitable[None]]
StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]
READY_WITHIN_S = 60.0
SAMPLED_WITHIN_S = 90.0
# Many small turns, so that a kill finds any moment of one.
TOLD = {
    "RANKGR_SAMPLES_WINDOW_S": str(RULES.window_ms / 1000),
    "RANKGR_SAMPLES_GAP_S": str(RULES.gap_ms / 1000),
    "RANKGR_SAMPLES_CORRECT_S": str(RULES.correct_ms / 1000),
    "RANKGR_SAMPLES_HISTORY_ITEMS": str(RULES.history_items),
    "RANKGR_SAMPLES_PSEUDO_EXPOSURES": str(RULES.pseudo_exposures),
    "RANKGR_SAMPLES_LATENESS_S": "1",
    "RANKGR_SAMPLES_IDLE_S": "3",
    "RANKGR_SAMPLES_TURN_MS": "10",
    "RANKGR_SAMPLES_TURN_MESSAGES": "30",
}


@pytest.fixture(params=["redis", "kafka"])
def broker(request: pytest.FixtureRequest, own_redis: StartRedis, tmp_path: Path) -> Iterator[Broker]:
    if request.param == "redis":
        yield RedisBroker.begin(own_redis, tmp_path / "redis")
        return
    tansu = TansuBroker.begin()
    yield tansu
    tansu.resume()
    tansu.kill()


@pytest.fixture
async def stream(broker: Broker) -> AsyncIterator[EventStream]:
    made = broker.stream()
    yield made
    await made.close()


class Samples:
    """The process, started again and again on one state; and what it has published."""

    def __init__(self, start: Start, broker: Broker, stream: EventStream, state: Path) -> None:
        self.start = start
        self.stream = stream
        self.port = free_port()
        self.counting = stream.reader(Topic.SAMPLES, "count", {})
        self.told = {
            **broker.told(),
            **TOLD,
            "RANKGR_SAMPLES_STATE": str(state),
            "RANKGR_SAMPLES_PORT": str(self.port),
        }

    def serve(self) -> Started:
        """Start it."""
        return self.start(self.told, "serve", "samples")

    async def published(self) -> Published:
        """All of `samples`."""
        found = Published()
        reader = self.stream.reader(Topic.SAMPLES, "test", {})
        parts, ended = await reader.parts(), frozenset[str]()
        while ended < parts:
            batch = await reader.read(1000, 0.1)
            ended = batch.ended
            for one in batch.messages:
                found.add(one.payload)
        await reader.close()
        return found

    async def count(self) -> int:
        """How many are there; none where the stream does not answer."""
        try:
            return await self.counting.lag()
        except StreamDown:
            return 0

    async def ready(self) -> bool:
        """Whether it says that it can do its work."""
        async with httpx.AsyncClient(timeout=5.0) as client:
            try:
                return (await client.get(f"http://127.0.0.1:{self.port}/readyz")).status_code == 200
            except httpx.HTTPError:
                return False


@pytest.fixture
async def samples(start: Start, broker: Broker, stream: EventStream, tmp_path: Path) -> AsyncIterator[Samples]:
    made = Samples(start, broker, stream, tmp_path / "state" / "samples.sqlite")
    yield made
    await made.counting.close()


def sampled(events: list[Event]) -> int:
    """How many sessions have a sample at least."""
    from tests.model.sessions.oracle import expected_samples

    return len(expected_samples(events, RULES)[1])


async def test_killed_in_mid_stream_again_and_again_it_publishes_exactly_the_oracle_s_samples(
    samples: Samples, stream: EventStream, eventually: Eventually
) -> None:
    events = page_views(450, users=40, seed=0)
    await publish(stream, events)
    for wanted in (1, 80, 200):
        running = samples.serve()

        async def so_many_are_there(wanted: int = wanted, running: Started = running) -> bool:
            assert running.process.poll() is None, running.err
            return await samples.count() >= wanted

        await eventually(so_many_are_there, within_s=SAMPLED_WITHIN_S)
        running.end(signal.SIGKILL)
    running = samples.serve()
    wanted_sessions = sampled(events)

    async def all_are_there() -> bool:
        return len((await samples.published()).by_session()) >= wanted_sessions

    await eventually(all_are_there, within_s=SAMPLED_WITHIN_S)
    assert running.end() == 0, running.err
    assert_as_the_oracle_says(await samples.published(), events)


async def test_a_stream_that_goes_away_is_waited_out_and_nothing_is_lost(
    samples: Samples, broker: Broker, stream: EventStream, eventually: Eventually
) -> None:
    events = page_views(200, users=20, seed=1)
    await publish(stream, events)
    running = samples.serve()

    async def some_are_there() -> bool:
        return await samples.count() >= 10

    await eventually(some_are_there, within_s=SAMPLED_WITHIN_S)
    broker.freeze()

    async def not_ready() -> bool:
        return not await samples.ready()

    await eventually(not_ready, within_s=READY_WITHIN_S)
    # Longer than a silent part needs to be idle: an outage is no silence.
    await asyncio.sleep(4.0)
    broker.resume()
    wanted_sessions = sampled(events)

    async def all_are_there() -> bool:
        return len((await samples.published()).by_session()) >= wanted_sessions

    await eventually(all_are_there, within_s=SAMPLED_WITHIN_S)
    assert running.end() == 0, running.err
    assert_as_the_oracle_says(await samples.published(), events)
    lines = [line for line in running.err.splitlines() if '"level": "error"' in line or "Traceback" in line]
    assert lines == []


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
async def test_a_disk_that_is_full_is_said_and_waited_out(
    samples: Samples, stream: EventStream, eventually: Eventually
) -> None:
    events = page_views(300, users=30, seed=2)
    running = samples.serve()
    await eventually(samples.ready, within_s=READY_WITHIN_S)
    # As a full disk: no file of the process grows beyond this.
    unlimited = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (16_384, resource.RLIM_INFINITY))
    await publish(stream, events)

    async def not_ready() -> bool:
        return not await samples.ready()

    await eventually(not_ready, within_s=READY_WITHIN_S)
    assert await samples.count() == 0
    said = [line for line in running.err.splitlines() if "samples wait" in line]
    assert len(said) == 1
    assert "the join's state in" in said[0]
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, unlimited)
    wanted_sessions = sampled(events)

    async def all_are_there() -> bool:
        return len((await samples.published()).by_session()) >= wanted_sessions

    await eventually(all_are_there, within_s=SAMPLED_WITHIN_S)
    assert running.end() == 0, running.err
    assert_as_the_oracle_says(await samples.published(), events)


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
async def test_without_any_event_the_process_does_next_to_nothing(samples: Samples, eventually: Eventually) -> None:
    running = samples.serve()
    await eventually(samples.ready, within_s=READY_WITHIN_S)

    def used_s() -> float:
        fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before_s = used_s()
    await asyncio.sleep(4.0)
    assert used_s() - before_s < 1.0
    assert running.end() == 0, running.err


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
async def test_a_second_process_on_one_state_ends_in_one_line(samples: Samples, eventually: Eventually) -> None:
    first = samples.serve()
    await eventually(samples.ready, within_s=READY_WITHIN_S)
    second = samples.serve()
    assert await asyncio.to_thread(second.process.wait, 60) == 1
    assert second.complaints() == [f"rankgr samples: another process has {samples.told['RANKGR_SAMPLES_STATE']} open"]
    assert first.end() == 0, first.err
