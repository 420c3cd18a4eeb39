"""The consumers' loop: acknowledged only after its effect, nothing lost, stopped by nothing but `stop`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from contracts.errors import BadMessage, EngineBusy, NoPlace, StreamDown
from contracts.messages import DeadLetter
from services.gateways.event_stream.in_memory import MemoryConsumer, MemoryEventStream
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import Delivery
from services.runtime.clock import SystemClock
from services.runtime.consume import ConsumeMetrics, Watch, consume

Effect = Callable[[Delivery], Awaitable[None]]
LIMITS = StreamLimits(retry_after_s=10.0, retry_delay_s=0.01)


@pytest.fixture
def stream() -> MemoryEventStream:
    return MemoryEventStream(SystemClock(), LIMITS)


@pytest.fixture
def consumer(stream: MemoryEventStream) -> MemoryConsumer:
    return stream.consumer("triggers", "precompute", "a")


class FlakyConsumer(MemoryConsumer):
    """A member whose stream is down for the first `outages` calls of each kind."""

    def __init__(self, stream: MemoryEventStream, outages: int) -> None:
        super().__init__(stream, "triggers", "precompute", "a")
        self._left = {"receive": outages, "ack": outages}

    def _maybe_down(self, call: str) -> None:
        if self._left[call]:
            self._left[call] -= 1
            raise StreamDown("the stream is away")

    async def receive(self, most: int, wait_s: float) -> list[Delivery]:
        self._maybe_down("receive")
        return await super().receive(most, wait_s)

    async def ack(self, delivery: Delivery) -> None:
        self._maybe_down("ack")
        await super().ack(delivery)


async def run_until_settled(
    consumer: MemoryConsumer, effect: Effect, *, concurrency: int = 4, watch: Watch | None = None
) -> None:
    """Consume until nothing is unacknowledged, then stop."""
    stop = asyncio.Event()
    consuming = asyncio.ensure_future(
        consume(
            consumer,
            effect,
            concurrency=concurrency,
            max_attempts=3,
            stop=stop,
            random=Random(0),
            watch=watch,
        )
    )
    async with asyncio.timeout(10):
        while await consumer.lag():
            await asyncio.wait([consuming], timeout=0.01)
            assert not consuming.done()
    stop.set()
    await consuming


async def letters_of(stream: MemoryEventStream) -> list[DeadLetter]:
    return [DeadLetter.model_validate_json(one) for one in await stream.dead_letters(100)]


async def test_every_message_takes_effect_and_is_acknowledged_after_it(
    stream: MemoryEventStream, consumer: MemoryConsumer
) -> None:
    lag_seen = []
    for number in range(20):
        await stream.publish("triggers", "u", b"%d" % number)

    async def effect(_delivery: Delivery) -> None:
        lag_seen.append(await consumer.lag())

    await run_until_settled(consumer, effect, concurrency=1)
    assert lag_seen == list(range(20, 0, -1))


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_never_more_effects_than_allowed_run_at_once(
    stream: MemoryEventStream, consumer: MemoryConsumer, concurrency: int
) -> None:
    running = most = 0
    for _ in range(12):
        await stream.publish("triggers", "u", b"x")

    async def effect(_delivery: Delivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    await run_until_settled(consumer, effect, concurrency=concurrency)
    assert most == concurrency


async def test_poison_is_buried_with_its_reason_while_the_stream_moves_on(
    stream: MemoryEventStream, consumer: MemoryConsumer
) -> None:
    seen = []
    for payload in (b"good", b"poison", b"good too"):
        await stream.publish("triggers", "u", payload)

    async def effect(delivery: Delivery) -> None:
        if delivery.payload == b"poison":
            raise BadMessage("no such event")
        seen.append(delivery.payload)

    await run_until_settled(consumer, effect)
    assert seen == [b"good", b"good too"]
    [letter] = await letters_of(stream)
    assert (letter.payload, letter.reason, letter.attempts) == ("poison", "BadMessage: no such event", 1)


async def test_a_retriable_error_is_tried_again_and_buried_after_the_last_attempt(
    stream: MemoryEventStream, consumer: MemoryConsumer
) -> None:
    attempts: dict[bytes, list[int]] = {b"recovers": [], b"never": []}
    for payload in attempts:
        await stream.publish("triggers", "u", payload)

    async def effect(delivery: Delivery) -> None:
        attempts[delivery.payload].append(delivery.attempt)
        if delivery.payload == b"never" or delivery.attempt < 3:
            raise EngineBusy(9)

    await run_until_settled(consumer, effect)
    assert attempts == {b"recovers": [1, 2, 3], b"never": [1, 2, 3]}
    [letter] = await letters_of(stream)
    assert (letter.payload, letter.attempts) == ("never", 3)
    assert letter.reason.startswith("EngineBusy: ")


async def test_what_was_not_even_tried_comes_again_however_often_and_is_never_buried(
    stream: MemoryEventStream, consumer: MemoryConsumer
) -> None:
    attempts: list[int] = []
    await stream.publish("triggers", "u", b"waits")

    async def effect(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if delivery.attempt < 6:
            raise NoPlace("not its turn")

    await run_until_settled(consumer, effect)
    assert attempts == [1, 2, 3, 4, 5, 6]
    assert await letters_of(stream) == []


async def test_a_bug_in_an_effect_is_logged_with_its_trace_and_buried_by_its_type_only(
    stream: MemoryEventStream, consumer: MemoryConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []
    for payload in (b"bug", b"good"):
        await stream.publish("triggers", "u", payload)

    async def effect(delivery: Delivery) -> None:
        if delivery.payload == b"bug":
            raise KeyError("secret")
        seen.append(delivery.payload)

    await run_until_settled(consumer, effect)
    assert seen == [b"good"]
    [letter] = await letters_of(stream)
    assert (letter.reason, letter.attempts) == ("unexpected KeyError", 3)
    assert "Traceback" in caplog.text


async def test_an_outage_is_waited_for_and_what_could_not_be_acknowledged_comes_again(
    stream: MemoryEventStream,
) -> None:
    stream = MemoryEventStream(SystemClock(), StreamLimits(retry_after_s=0.05, retry_delay_s=0.01))
    consumer = FlakyConsumer(stream, outages=2)
    await stream.publish("triggers", "u", b"x")
    attempts = []

    async def effect(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)

    began = time.monotonic()
    await run_until_settled(consumer, effect)
    assert attempts == [1, 2, 3]
    assert time.monotonic() - began < 5


async def test_stopping_finishes_what_is_in_flight(stream: MemoryEventStream, consumer: MemoryConsumer) -> None:
    started, release, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
    finished = []
    for _ in range(5):
        await stream.publish("triggers", "u", b"x")

    async def effect(delivery: Delivery) -> None:
        started.set()
        await release.wait()
        finished.append(delivery)

    consuming = asyncio.ensure_future(
        consume(consumer, effect, concurrency=2, max_attempts=3, stop=stop, random=Random(0))
    )
    await started.wait()
    stop.set()
    await asyncio.wait([consuming], timeout=0.05)
    assert not consuming.done()
    release.set()
    await consuming
    assert len(finished) == 2
    assert await consumer.lag() == 3, "what was in flight is acknowledged, what was not is untouched"


async def test_stopping_an_idle_loop_takes_less_than_a_second(consumer: MemoryConsumer) -> None:
    stop = asyncio.Event()

    async def effect(_delivery: Delivery) -> None:
        raise AssertionError

    consuming = asyncio.ensure_future(
        consume(consumer, effect, concurrency=1, max_attempts=1, stop=stop, random=Random(0))
    )
    await asyncio.wait([consuming], timeout=0.02)
    stop.set()
    async with asyncio.timeout(1):
        await consuming


async def test_the_loop_reports_what_became_of_its_deliveries(
    stream: MemoryEventStream, consumer: MemoryConsumer
) -> None:
    registry = CollectorRegistry()
    watch = Watch("triggers", "precompute", ConsumeMetrics(registry), SystemClock())
    for payload in (b"good", b"poison", b"tired"):
        await stream.publish("triggers", "u", payload)

    async def effect(delivery: Delivery) -> None:
        if delivery.payload == b"poison":
            raise BadMessage("no")
        if delivery.payload == b"tired" and delivery.attempt == 1:
            raise EngineBusy(1)

    await run_until_settled(consumer, effect, watch=watch)
    place = {"topic": "triggers", "group": "precompute"}
    for outcome, count in (("acked", 2), ("buried", 1), ("retried", 1)):
        labels = {**place, "outcome": outcome}
        assert registry.get_sample_value("rankgr_stream_deliveries_total", labels) == count
    assert registry.get_sample_value("rankgr_stream_effect_seconds_count", place) == 4
    assert registry.get_sample_value("rankgr_stream_queue_seconds_count", place) == 3, "a second delivery did not wait"
    assert registry.get_sample_value("rankgr_stream_in_flight", place) == 0
    assert registry.get_sample_value("rankgr_stream_lag", place) is not None
