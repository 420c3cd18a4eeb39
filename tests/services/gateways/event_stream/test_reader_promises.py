"""What every reader by positions promises (EventReader in port.py), over memory and the real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from contracts.errors import BadInput
from services.gateways.event_stream.in_kafka import KafkaEventStream
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.gateways.event_stream.in_redis import RedisEventStream
from services.gateways.event_stream.kafka.publisher import PublishLimits
from services.gateways.event_stream.port import EventReader, EventStream, ReadMessage
from services.runtime.clock import SystemClock
from tests.kafka_broker import KafkaBroker, create_topics

WAIT_S = 10.0
USERS = ("a", "b", "c", "d", "e")


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis), "kafka"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def broker(kind: str) -> Iterator[KafkaBroker | None]:
    """A broker of the test's own, where it is about Kafka."""
    if kind != "kafka":
        yield None
        return
    made = KafkaBroker.start()
    create_topics(made.bootstrap)
    yield made
    made.kill()


@pytest.fixture
async def stream(kind: str, broker: KafkaBroker | None, request: pytest.FixtureRequest) -> AsyncIterator[EventStream]:
    made: EventStream
    if broker is not None:
        made = KafkaEventStream(broker.place, SystemClock(), publishing=PublishLimits(within_s=5.0))
    elif kind == "memory":
        made = MemoryEventStream(SystemClock())
    else:
        made = RedisEventStream.connect(request.getfixturevalue("redis_url"), SystemClock())
    yield made
    await made.close()


@dataclass(frozen=True, slots=True)
class Opened:
    """Opens readers of `triggers` that are closed when the test ends."""

    stream: EventStream
    closing: AsyncExitStack

    def reader(self, positions: dict[str, str] | None = None, name: str = "reader") -> EventReader:
        made = self.stream.reader("triggers", name, positions or {})
        self.closing.push_async_callback(made.close)
        return made


@pytest.fixture
async def opened(stream: EventStream) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as closing:
        yield Opened(stream, closing)


async def publish(stream: EventStream, count: int, first: int = 0) -> list[tuple[str, bytes]]:
    """Messages of several users, numbered."""
    sent = [(USERS[number % len(USERS)], b"%d" % number) for number in range(first, first + count)]
    for key, payload in sent:
        await stream.publish("triggers", key, payload)
    return sent


async def take(reader: EventReader, count: int, at_once: int = 100) -> list[ReadMessage]:
    """Read until this many came."""
    found: list[ReadMessage] = []
    while len(found) < count:
        batch = await reader.read(min(at_once, count - len(found)), WAIT_S)
        assert batch.messages, f"only {len(found)} of {count} came"
        assert batch.lost == 0
        found += batch.messages
    return found


def told(messages: list[ReadMessage]) -> list[tuple[str, bytes]]:
    return sorted((one.key, one.payload) for one in messages)


def positions(messages: list[ReadMessage]) -> dict[str, str]:
    """Where somebody stands who has read these."""
    return {one.part: one.position for one in messages}


async def test_a_topic_is_read_from_its_beginning_each_message_once(stream: EventStream, opened: Opened) -> None:
    sent = await publish(stream, 50)
    reader = opened.reader()
    found = await take(reader, 50, at_once=7)
    assert told(found) == sorted(sent)
    assert all(one.published_at > 0 for one in found)
    assert {one.part for one in found} <= await reader.parts()
    assert (await reader.read(10, 0.05)).messages == []


async def test_payload_and_key_come_as_they_were(stream: EventStream, opened: Opened) -> None:
    payload = bytes(range(256))
    await stream.publish("triggers", "ü{42}", payload)
    [found] = await take(opened.reader(), 1)
    assert (found.key, found.payload) == ("ü{42}", payload)


async def test_messages_of_one_user_come_in_the_order_in_which_they_were_published(
    stream: EventStream, opened: Opened
) -> None:
    await publish(stream, 100)
    found = await take(opened.reader(), 100, at_once=13)
    for user in USERS:
        numbers = [int(one.payload) for one in found if one.key == user]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("read", [0, 1, 17, 40])
async def test_a_reader_opened_where_another_stood_goes_on_after_it(
    stream: EventStream, opened: Opened, read: int
) -> None:
    sent = await publish(stream, 40)
    first = opened.reader()
    found = await take(first, read)
    await first.close()
    rest = await take(opened.reader(positions(found)), 40 - read)
    assert told(found + rest) == sorted(sent)


async def test_a_message_carries_its_own_position_not_that_of_its_batch(stream: EventStream, opened: Opened) -> None:
    sent = await publish(stream, 20)
    found = await take(opened.reader(), 20)
    kept = found[:9]
    rest = await take(opened.reader(positions(kept)), 11)
    assert told(kept + rest) == sorted(sent)


async def test_two_readers_do_not_know_of_each_other(stream: EventStream, opened: Opened) -> None:
    sent = await publish(stream, 10)
    one, other = opened.reader(name="one"), opened.reader(name="other")
    for reader in (one, other):
        assert told(await take(reader, 10)) == sorted(sent)


async def test_read_takes_at_most_what_was_asked_and_wakes_up_for_what_comes(
    stream: EventStream, opened: Opened
) -> None:
    reader = opened.reader()
    assert (await reader.read(5, 0.0)).messages == []
    waiting = asyncio.ensure_future(reader.read(5, WAIT_S))
    await asyncio.sleep(0)
    await publish(stream, 8)
    found = (await waiting).messages
    assert 0 < len(found) <= 5
    assert len(await take(reader, 8 - len(found), at_once=2)) == 8 - len(found)


async def test_a_part_is_at_its_end_when_all_of_it_was_read_and_not_before(stream: EventStream, opened: Opened) -> None:
    await publish(stream, 30)
    reader = opened.reader()
    parts = await reader.parts()
    left = 30
    while left > 0:
        batch = await reader.read(3, WAIT_S)
        left -= len(batch.messages)
        assert left <= 0 or batch.ended != parts
    for _ in range(100):
        batch = await reader.read(3, 0.1)
        if batch.ended == parts:
            break
    assert batch.ended == parts
    assert batch.messages == []


async def test_an_empty_topic_is_at_its_end_at_once(opened: Opened) -> None:
    reader = opened.reader()
    assert (await reader.read(3, 0.0)).ended == await reader.parts()


async def test_paused_parts_bring_nothing_and_go_on_where_they_were(stream: EventStream, opened: Opened) -> None:
    sent = await publish(stream, 20)
    reader = opened.reader()
    found = await take(reader, 5)
    parts = await reader.parts()
    batch = await reader.read(100, WAIT_S, paused=parts)
    assert (batch.messages, batch.ended) == ([], frozenset())
    part = found[0].part
    others = await reader.read(100, 0.2, paused={part})
    assert part not in {one.part for one in others.messages} | others.ended
    rest = await take(reader, 15 - len(others.messages))
    assert told(found + others.messages + rest) == sorted(sent)


async def test_a_reading_that_was_cancelled_skips_nothing(stream: EventStream, opened: Opened) -> None:
    reader = opened.reader()
    await reader.read(1, 0.0)
    waiting = asyncio.ensure_future(reader.read(100, WAIT_S))
    await asyncio.sleep(0.05)
    sent = await publish(stream, 10)
    waiting.cancel()
    found = [] if not (await asyncio.wait([waiting]))[0] or waiting.cancelled() else waiting.result().messages
    found += await take(reader, 10 - len(found))
    assert told(found) == sorted(sent)


async def test_lag_is_what_was_not_read(stream: EventStream, opened: Opened) -> None:
    reader = opened.reader()
    assert await reader.lag() == 0
    await publish(stream, 12)
    assert await reader.lag() == 12
    found = await take(reader, 5)
    assert await reader.lag() == 7
    assert await opened.reader(positions(found), name="heir").lag() == 7


async def test_keeping_positions_loses_nothing_that_comes_after_them(stream: EventStream, opened: Opened) -> None:
    sent = await publish(stream, 20)
    reader = opened.reader()
    found = await take(reader, 8)
    await reader.keep(positions(found))
    await reader.keep({})
    rest = await take(reader, 12)
    assert told(found + rest) == sorted(sent)


async def test_positions_of_somewhere_else_are_refused(stream: EventStream) -> None:
    with pytest.raises(BadInput, match="no position of this stream"):
        stream.reader("triggers", "reader", {"0": "somewhere"})
