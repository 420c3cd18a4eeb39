"""What readers by positions must survive: streams that drop messages, go away, stand still, or come back empty."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from kafka.errors import TopicAlreadyExistsError

from contracts.errors import StreamDown
from services.gateways.event_stream.in_kafka import KafkaEventStream
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.gateways.event_stream.in_redis import RedisEventStream
from services.gateways.event_stream.kafka.publisher import PublishLimits
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import EventReader, EventStream, ReadBatch
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions
from tests.kafka_broker import KafkaBroker, create_topics

StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]
KEY = "rankgr:stream:samples"
PADDING = b"." * 200
"""Redis drops whole nodes of up to 4 KB."""


async def publish(stream: EventStream, first: int, count: int) -> None:
    for number in range(first, first + count):
        await stream.publish("samples", "u", b"%d " % number + PADDING)


def numbers(*batches: ReadBatch) -> list[int]:
    return [int(one.payload.split()[0]) for batch in batches for one in batch.messages]


async def until_read(reader: EventReader, count: int) -> list[int]:
    """The numbers that came, however often the stream was down before."""
    found: list[int] = []
    tries = 0
    while len(found) < count:
        batch = ReadBatch([])
        with suppress(StreamDown):
            batch = await reader.read(100, 0.5)
        found += numbers(batch)
        tries += 1
        assert tries < 60, f"only {found} came"
    return found


@pytest.fixture
async def trimming(redis_url: str) -> AsyncIterator[RedisEventStream]:
    """Keeps as little as it may of what was read."""
    made = RedisEventStream.connect(redis_url, SystemClock(), limits=StreamLimits(keep_acknowledged=0))
    yield made
    await made.close()


def kept(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.xlen(KEY))


@pytest.mark.redis
async def test_trimming_on_redis_leaves_what_the_slowest_reader_has_not_read(
    trimming: RedisEventStream, redis_url: str
) -> None:
    await publish(trimming, 0, 300)
    fast, slow = trimming.reader("samples", "fast", {}), trimming.reader("samples", "slow", {})
    behind = await slow.read(50, 1.0)
    ahead = await fast.read(300, 1.0)
    await slow.keep({"0": behind.messages[-1].position})
    await fast.keep({"0": ahead.messages[-1].position})
    assert 250 <= kept(redis_url) < 300
    heir = trimming.reader("samples", "slow", {"0": behind.messages[-1].position})
    rest = await heir.read(300, 1.0)
    assert (numbers(rest), rest.lost) == (list(range(50, 300)), 0)
    await heir.keep({"0": rest.messages[-1].position})
    await fast.keep({"0": ahead.messages[-1].position})
    assert kept(redis_url) < 50
    for reader in (fast, slow, heir):
        await reader.close()


@pytest.mark.redis
async def test_a_reader_that_was_only_opened_holds_the_whole_topic(trimming: RedisEventStream, redis_url: str) -> None:
    await publish(trimming, 0, 100)
    fast, other = trimming.reader("samples", "fast", {}), trimming.reader("samples", "other", {})
    await other.read(1, 0.0)
    batch = await fast.read(100, 1.0)
    await fast.keep({"0": batch.messages[-1].position})
    assert kept(redis_url) == 100
    for reader in (fast, other):
        await reader.close()


@pytest.mark.redis
async def test_what_redis_dropped_unread_is_counted_exactly_and_said_once(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    stream = RedisEventStream.connect(redis_url, SystemClock(), limits=StreamLimits(keep_at_most=100))
    await publish(stream, 0, 40)
    reader = stream.reader("samples", "reader", {})
    first = await reader.read(10, 1.0)
    await publish(stream, 40, 500)
    heir = stream.reader("samples", "reader", {"0": first.messages[-1].position})
    with caplog.at_level(logging.WARNING):
        for one in (reader, heir):
            rest = await one.read(1000, 1.0)
            assert rest.lost > 0
            assert numbers(rest) == list(range(10 + rest.lost, 540))
            assert (await one.read(1000, 0.0)).lost == 0
            await one.close()
    assert len([record for record in caplog.records if "dropped" in record.message]) == 2
    await stream.close()


async def test_what_memory_dropped_unread_is_counted_exactly(caplog: pytest.LogCaptureFixture) -> None:
    stream = MemoryEventStream(SystemClock(), StreamLimits(keep_at_most=10))
    reader = stream.reader("samples", "reader", {})
    await publish(stream, 0, 30)
    with caplog.at_level(logging.WARNING):
        batch = await reader.read(100, 1.0)
    assert (batch.lost, numbers(batch)) == (20, list(range(20, 30)))
    assert "dropped" in caplog.text


@pytest.mark.redis
async def test_a_redis_that_is_away_is_stream_down_quickly_and_the_reader_goes_on_where_it_stood(
    own_redis: StartRedis, tmp_path: Path
) -> None:
    options = ServerOptions(append_only=True, fsync="always")
    server = own_redis(tmp_path, options)
    stream = RedisEventStream.connect(server.url, SystemClock())
    await publish(stream, 0, 20)
    reader = stream.reader("samples", "reader", {})
    first = await reader.read(5, 1.0)
    server.kill()
    for call in (lambda: reader.read(5, 0.0), reader.lag, lambda: reader.keep({"0": first.messages[-1].position})):
        with pytest.raises(StreamDown) as caught:
            await call()
        assert "\n" not in str(caught.value)
    own_redis(tmp_path, ServerOptions(append_only=True, fsync="always", port=server.port))
    assert await until_read(reader, 15) == list(range(5, 20))
    await reader.close()
    await stream.close()


@pytest.mark.redis
async def test_a_redis_that_lost_everything_is_read_from_its_beginning_and_counted_as_a_loss(
    own_redis: StartRedis, tmp_path: Path
) -> None:
    server = own_redis(tmp_path / "one", ServerOptions())
    stream = RedisEventStream.connect(server.url, SystemClock())
    await publish(stream, 0, 20)
    reader = stream.reader("samples", "reader", {})
    assert len((await reader.read(20, 1.0)).messages) == 20
    server.kill()
    own_redis(tmp_path / "two", ServerOptions(port=server.port))
    other = RedisEventStream.connect(server.url, SystemClock())
    await publish(other, 100, 3)
    batches = [await reader.read(10, 1.0) for _ in range(2)]
    assert numbers(*batches) == [100, 101, 102]
    assert sum(one.lost for one in batches) > 0
    await reader.close()
    for one in (stream, other):
        await one.close()


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    made = KafkaBroker.start()
    create_topics(made.bootstrap, ("samples",))
    yield made
    made.resume()
    made.kill()


def on(broker: KafkaBroker) -> KafkaEventStream:
    return KafkaEventStream(broker.place, SystemClock(), publishing=PublishLimits(within_s=5.0))


@pytest.mark.usefixtures("sockets_left_behind")
async def test_silence_of_a_kafka_that_stands_still_is_no_end(broker: KafkaBroker) -> None:
    stream = on(broker)
    await publish(stream, 0, 20)
    reader = stream.reader("samples", "reader", {})
    assert len(await until_read(reader, 20)) == 20
    broker.freeze()

    async def read_on() -> None:
        for _ in range(20):
            await reader.read(5, 0.2)

    with pytest.raises(StreamDown) as caught:
        await read_on()
    assert "\n" not in str(caught.value)
    broker.resume()
    await publish(stream, 20, 5)
    assert await until_read(reader, 5) == list(range(20, 25))
    await reader.close()
    await stream.close()


@pytest.mark.usefixtures("sockets_left_behind")
async def test_a_kafka_topic_that_was_made_anew_is_read_from_its_beginning_and_counted_as_a_loss() -> None:
    broker = KafkaBroker.start()
    create_topics(broker.bootstrap, ("samples",))
    stream = on(broker)
    await publish(stream, 0, 20)
    reader = stream.reader("samples", "reader", {})
    await until_read(reader, 20)
    broker.kill()
    await stream.close()
    again = KafkaBroker.start(broker.port)
    try:
        # On a busy machine the admin client asks twice.
        with suppress(TopicAlreadyExistsError):
            create_topics(again.bootstrap, ("samples",))
        stream = on(again)
        await publish(stream, 100, 3)
        assert await until_read(reader, 3) == [100, 101, 102]
        await reader.close()
        await stream.close()
    finally:
        again.kill()


@pytest.mark.usefixtures("sockets_left_behind")
async def test_a_kafka_topic_that_is_not_there_says_what_makes_it(broker: KafkaBroker) -> None:
    stream = on(broker)
    reader = stream.reader("interactions", "reader", {})
    with pytest.raises(StreamDown, match="rankgr topics create"):
        await reader.read(1, 0.0)
    await reader.close()
    await stream.close()
