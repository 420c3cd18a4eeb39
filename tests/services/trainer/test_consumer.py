"""The topic is read ahead of the steps, no further than there is room, and told what was kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry

from contracts.messages import Topic
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.runtime.clock import SystemClock
from services.trainer.consumer import WAITING, PortionQueue, ReadSamples
from services.trainer.learn_samples import SampleMessage
from services.trainer.metrics import TrainerMetrics

Eventually = Callable[..., Awaitable[None]]


async def test_portions_wait_in_order_and_reading_stops_when_there_are_enough(eventually: Eventually) -> None:
    stream, registry = MemoryEventStream(SystemClock()), CollectorRegistry()
    for number in range(40):
        await stream.publish(Topic.SAMPLES, "u", str(number).encode())
    portions = PortionQueue()
    reader = stream.reader(Topic.SAMPLES, "trainer", {})
    read = ReadSamples(reader, portions, TrainerMetrics(registry), 5, SystemClock().monotonic_s)
    stop = asyncio.Event()
    reading = asyncio.ensure_future(read(stop))

    async def is_full() -> bool:
        return portions.full

    await eventually(is_full)
    assert await reader.lag() == 40 - 5 * WAITING
    taken: list[SampleMessage] = []
    while len(taken) < 40:
        taken += await asyncio.to_thread(portions.take, 5.0)
    assert [message.payload for message in taken] == [str(number).encode() for number in range(40)]
    assert portions.take(0.0) == ()
    portions.kept({"0": taken[9].position})

    async def is_told() -> bool:
        return portions._kept is None

    await eventually(is_told)
    stop.set()
    await reading
    again = stream.reader(Topic.SAMPLES, "trainer", {"0": taken[9].position})
    first = (await again.read(1, 0.0)).messages[0]
    assert first.payload == b"10"
    portions.stop()
    assert portions.ended
