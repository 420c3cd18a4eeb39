"""What the stream on Kafka must survive: a broker that stands still, dies, comes back empty; too much; wrong topics."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from contracts.errors import StreamBusy, StreamDown
from contracts.messages import Topic
from services.gateways.event_stream.in_kafka import NEEDED, KafkaEventStream
from services.gateways.event_stream.kafka.consumer import KafkaConsumer
from services.gateways.event_stream.kafka.membership import GroupTimes
from services.gateways.event_stream.kafka.publisher import LINGER_S, PublishLimits
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import Delivery
from services.runtime.clock import SystemClock
from services.runtime.consume import consume
from tests.kafka_broker import KafkaBroker, create_topics

pytestmark = pytest.mark.usefixtures("sockets_left_behind")

Eventually = Callable[..., Awaitable[None]]
LIMITS = StreamLimits(retry_after_s=3.0, retry_delay_s=0.1)
TIMES = GroupTimes(session_s=1.0, heartbeat_s=0.1)


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    made = KafkaBroker.start()
    create_topics(made.bootstrap)
    yield made
    made.resume()
    made.kill()


@dataclass(frozen=True, slots=True)
class Opened:
    """Opens streams and members that are closed when the test ends, however it ends.

    One left open tries to connect for ever in a thread of its own, and takes random numbers from other tests' seeds.
    """

    closing: AsyncExitStack

    def stream(self, broker: KafkaBroker, publishing: PublishLimits | None = None) -> KafkaEventStream:
        made = KafkaEventStream(broker.place, SystemClock(), limits=LIMITS, publishing=publishing, times=TIMES)
        self.closing.push_async_callback(made.close)
        return made

    def member(self, stream: KafkaEventStream, topic: str = "triggers") -> KafkaConsumer:
        made = stream.consumer(topic, "precompute", "a")
        self.closing.push_async_callback(made.close)
        return made


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    async with AsyncExitStack() as closing:
        yield Opened(closing)


@pytest.fixture
def stream(broker: KafkaBroker, opened: Opened) -> KafkaEventStream:
    return opened.stream(broker, PublishLimits(within_s=5.0))


async def refused(stream: KafkaEventStream, topic: str = "triggers", payload: bytes = b"x") -> tuple[float, str]:
    """How long a publication took to fail, and what it said."""
    began_s = time.monotonic()
    with pytest.raises(StreamDown) as caught:
        await stream.publish(topic, "u", payload)
    assert "\n" not in str(caught.value)
    return time.monotonic() - began_s, str(caught.value)


async def test_a_frozen_broker_is_stream_down_in_time_and_what_was_accepted_is_there_when_it_goes_on(
    broker: KafkaBroker, opened: Opened, eventually: Eventually
) -> None:
    stream = opened.stream(broker)
    member = opened.member(stream)
    accepted: set[bytes] = set()
    seen: set[bytes] = set()

    async def effect(delivery: Delivery) -> None:
        seen.add(delivery.payload)

    async def publish(number: int) -> None:
        try:
            await stream.publish("triggers", f"u{number % 7}", b"%d" % number)
        except StreamDown:
            return
        accepted.add(b"%d" % number)

    stop = asyncio.Event()
    consuming = asyncio.ensure_future(
        consume(member, effect, concurrency=4, max_attempts=99, stop=stop, random=Random(0))
    )
    await asyncio.gather(*(publish(number) for number in range(200)))
    broker.freeze()
    began_s = time.monotonic()
    await asyncio.gather(*(publish(number) for number in range(200, 300)))
    assert time.monotonic() - began_s < 2.0
    slowest_s = max([(await refused(stream))[0] for _ in range(5)])
    broker.resume()
    assert slowest_s < 1.0, "a quarter of a second, on a machine with time"

    async def it_is_back() -> bool:
        before = len(accepted)
        await publish(300 + before)
        return len(accepted) > before

    await eventually(it_is_back)

    async def all_seen() -> bool:
        return accepted <= seen

    await eventually(all_seen, within_s=15.0)
    assert len(accepted) > 200
    stop.set()
    await consuming


async def test_a_broker_that_stays_silent_costs_most_callers_nothing(broker: KafkaBroker, opened: Opened) -> None:
    stream = opened.stream(broker)
    await stream.publish("triggers", "u", b"x")
    broker.freeze()
    began_s = time.monotonic()
    while time.monotonic() - began_s < 0.8:
        await asyncio.gather(*(refused(stream) for _ in range(4)))
    took_s = sorted((await asyncio.gather(*(refused(stream) for _ in range(50)))), key=lambda one: one[0])
    assert took_s[40][0] < 0.05, "all but a probe fail at once"
    broker.resume()


async def test_a_killed_broker_is_stream_down_and_a_new_one_in_its_place_is_found(
    broker: KafkaBroker, opened: Opened, eventually: Eventually
) -> None:
    stream = opened.stream(broker)
    member = opened.member(stream)
    await stream.publish("triggers", "u", b"before")
    [delivery] = await member.receive(1, 10.0)
    broker.kill()
    took_s, said = await refused(stream)
    assert took_s < 1.0
    assert broker.bootstrap in said
    with pytest.raises(StreamDown):
        await stream.ping()
    with pytest.raises(StreamDown):
        await member.ack(delivery)
    again = KafkaBroker.start(port=broker.port)
    try:
        create_topics(again.bootstrap)

        async def it_is_back() -> bool:
            try:
                await stream.publish("triggers", "u", b"after")
            except StreamDown:
                return False
            return True

        await eventually(it_is_back, within_s=10.0)

        async def received() -> bool:
            try:
                return any(one.payload == b"after" for one in await member.receive(9, 0.5))
            except StreamDown:
                return False

        await eventually(received, within_s=20.0)
    finally:
        again.kill()


@pytest.mark.parametrize(("payload", "most"), [(b"x", 100), (bytes(40_000), 4)], ids=["by number", "by size"])
async def test_above_the_bound_a_publication_is_refused_at_once(
    broker: KafkaBroker, opened: Opened, payload: bytes, most: int
) -> None:
    stream = opened.stream(broker, PublishLimits(within_s=1.0, most_events=100, most_bytes=200_000))
    await stream.publish("triggers", "u", b"x")
    broker.freeze()
    waiting = [asyncio.ensure_future(stream.publish("triggers", f"u{n}", payload)) for n in range(1000)]
    done, pending = await asyncio.wait(waiting, timeout=0.5)
    assert len(pending) == most
    assert {type(one.exception()) for one in done} == {StreamBusy}
    results = await asyncio.gather(*pending, return_exceptions=True)
    assert {type(one) for one in results} == {StreamDown}
    broker.resume()


async def test_a_broker_that_stays_silent_costs_no_memory(broker: KafkaBroker, opened: Opened) -> None:
    stream = opened.stream(broker, PublishLimits(within_s=0.1))
    await stream.publish("triggers", "u", b"x")
    broker.freeze()
    gc.disable()
    tracemalloc.start()
    for _ in range(40):
        await asyncio.gather(
            *(stream.publish("triggers", f"u{n}", bytes(100_000)) for n in range(50)), return_exceptions=True
        )
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    gc.enable()
    assert peak < 50_000_000, "of the 200 MB that were offered"
    broker.resume()


async def test_one_user_s_events_keep_their_order(stream: KafkaEventStream, opened: Opened) -> None:
    member = opened.member(stream)
    for start in range(0, 300, 50):
        await asyncio.gather(*(stream.publish("triggers", "ann", b"%d" % n) for n in range(start, start + 50)))
    got: list[int] = []
    while len(got) < 300:
        got += [int(one.payload) for one in await member.receive(300, 10.0)]
    assert got == list(range(300))


async def test_what_comes_together_goes_out_together(stream: KafkaEventStream) -> None:
    await stream.publish("triggers", "u", b"x")
    began_s = time.monotonic()
    await asyncio.gather(*(stream.publish("triggers", f"u{n}", bytes(200)) for n in range(2000)))
    assert time.monotonic() - began_s < 2000 * LINGER_S, "one request each would take longer"


async def test_a_topic_that_is_not_there_is_not_made_by_accident(stream: KafkaEventStream, opened: Opened) -> None:
    _took_s, said = await refused(stream, topic="typo")
    assert "rankgr topics create" in said
    member = opened.member(stream, "typo")
    with pytest.raises(StreamDown, match="rankgr topics create"):
        await member.receive(1, 5.0)
    await stream.publish("triggers", "u", b"x")


async def test_a_stream_whose_topics_are_missing_is_not_usable(opened: Opened) -> None:
    broker = KafkaBroker.start()
    stream = opened.stream(broker)
    try:
        with pytest.raises(StreamDown, match="rankgr topics create"):
            await stream.ping()
        create_topics(broker.bootstrap, tuple(topic for topic in NEEDED if topic != Topic.SAMPLES))
        with pytest.raises(StreamDown, match="rankgr topics create"):
            await stream.ping()
        create_topics(broker.bootstrap, (Topic.SAMPLES,))
        await stream.ping()
    finally:
        broker.kill()


async def test_a_message_that_is_too_large_is_refused_and_the_others_are_not(stream: KafkaEventStream) -> None:
    _took_s, said = await refused(stream, payload=bytes(1_100_000))
    assert "larger" in said
    await stream.publish("triggers", "u", bytes(900_000))


async def test_nobody_there_is_stream_down_for_every_call(opened: Opened) -> None:
    broker = KafkaBroker.start()
    broker.kill()
    stream = opened.stream(broker)
    member = opened.member(stream)
    await refused(stream)
    calls: list[Callable[[], Awaitable[object]]] = [
        stream.ping,
        lambda: stream.dead_letters(1),
        lambda: member.receive(1, 6.0),
        member.lag,
    ]
    for call in calls:
        with pytest.raises(StreamDown) as caught:
            await call()
        assert "\n" not in str(caught.value)


async def test_waiting_for_a_broker_leaves_no_socket_open(opened: Opened) -> None:
    broker = KafkaBroker.start()
    broker.kill()
    stream = opened.stream(broker, PublishLimits(within_s=0.05))

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    await refused(stream)
    before = open_files()
    for _ in range(60):
        await refused(stream)
    assert open_files() <= before + 2
