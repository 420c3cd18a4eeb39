"""What Redis Streams must survive: outages, a server killed and restarted, a server that lost everything."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random

import pytest
import redis

from contracts.errors import StreamDown
from services.gateways.event_stream.in_redis import RedisEventStream
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import Delivery
from services.gateways.redis_link import RedisTimes
from services.runtime.clock import SystemClock
from services.runtime.consume import consume
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions

pytestmark = pytest.mark.redis

StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]
Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
LIMITS = StreamLimits(retry_after_s=0.3, retry_delay_s=0.1)


@pytest.fixture
async def stream(redis_url: str) -> AsyncIterator[RedisEventStream]:
    made = RedisEventStream.connect(redis_url, SystemClock(), limits=LIMITS)
    yield made
    await made.close()


async def test_a_killed_server_started_again_on_its_file_loses_nothing_and_the_consumer_goes_on_by_itself(
    own_redis: StartRedis, tmp_path: Path, eventually: Eventually
) -> None:
    server = own_redis(tmp_path, ServerOptions(append_only=True, fsync="always"))
    stream = RedisEventStream.connect(server.url, SystemClock(), limits=LIMITS)
    member = stream.consumer("triggers", "precompute", "a")
    accepted: set[bytes] = set()
    seen: set[bytes] = set()

    async def effect(delivery: Delivery) -> None:
        seen.add(delivery.payload)

    async def publish(first: int) -> None:
        for number in range(first, first + 50):
            await stream.publish("triggers", "u", b"%d" % number)
            accepted.add(b"%d" % number)

    await publish(0)
    stop = asyncio.Event()
    consuming = asyncio.ensure_future(
        consume(member, effect, concurrency=4, max_attempts=99, stop=stop, random=Random(0))
    )

    async def some_seen() -> bool:
        return len(seen) >= 5

    await eventually(some_seen)
    await publish(50)
    server.kill()
    with pytest.raises(StreamDown):
        await stream.publish("triggers", "u", b"lost")
    own_redis(tmp_path, ServerOptions(append_only=True, fsync="always", port=server.port))
    await publish(100)

    async def all_seen_and_settled() -> bool:
        return accepted <= seen and await member.lag() == 0

    await eventually(all_seen_and_settled)
    stop.set()
    await consuming
    await member.close()
    await stream.close()


async def test_every_call_raises_stream_down_quickly_while_the_server_is_down_and_works_again_after(
    own_redis: StartRedis, tmp_path: Path, eventually: Eventually
) -> None:
    server = own_redis(tmp_path, ServerOptions())
    stream = RedisEventStream.connect(server.url, SystemClock(), limits=LIMITS)
    member = stream.consumer("triggers", "precompute", "a")
    await stream.publish("triggers", "u", b"before")
    [delivery] = await member.receive(1, 1.0)
    server.kill()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: stream.publish("triggers", "u", b"x"),
        stream.ping,
        lambda: stream.dead_letters(1),
        lambda: member.receive(1, 0.0),
        lambda: member.ack(delivery),
        lambda: member.retry_later(delivery),
        lambda: member.bury(delivery, "why"),
        member.lag,
    ]
    began = time.monotonic()
    for call in calls:
        with pytest.raises(StreamDown) as caught:
            await call()
        assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 0.3 * len(calls)
    own_redis(tmp_path, ServerOptions(port=server.port))

    async def it_is_back() -> bool:
        try:
            await stream.publish("triggers", "u", b"after")
        except StreamDown:
            return False
        return True

    await eventually(it_is_back)
    [fresh] = await member.receive(1, 1.0)
    assert fresh.payload == b"after", "a server that lost its memory has lost the group too; it is made anew"
    await member.close()
    await stream.close()


async def test_a_member_leaves_quietly_when_the_server_has_gone_before_it(
    own_redis: StartRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = own_redis(tmp_path, ServerOptions(append_only=True, fsync="always"))
    stream = RedisEventStream.connect(server.url, SystemClock(), limits=LIMITS)
    member = stream.consumer("triggers", "precompute", "a")
    await stream.publish("triggers", "u", b"1")
    [held] = await member.receive(1, 1.0)
    server.kill()
    await member.close()
    assert "left a group that could not be told" in caplog.text

    own_redis(tmp_path, ServerOptions(append_only=True, fsync="always", port=server.port))
    another = stream.consumer("triggers", "precompute", "b")
    [again] = await another.receive(1, 5.0)
    assert (again.payload, again.attempt) == (held.payload, 2)
    await another.close()
    await stream.close()


async def test_a_frozen_server_is_stream_down_within_the_timeout(own_redis: StartRedis, tmp_path: Path) -> None:
    server = own_redis(tmp_path, ServerOptions())
    stream = RedisEventStream.connect(server.url, SystemClock(), times=RedisTimes(answer_s=0.1, connect_s=0.1))
    await stream.ping()
    server.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(StreamDown, match="no answer in time"):
        await stream.publish("triggers", "u", b"x")
    assert time.monotonic() - began < 1.0
    server.process.send_signal(signal.SIGCONT)
    await stream.ping()
    await stream.close()


async def test_a_server_that_stands_still_for_a_second_hands_no_message_to_a_connection_that_was_given_up(
    own_redis: StartRedis, tmp_path: Path
) -> None:
    server = own_redis(tmp_path, ServerOptions())
    stream = RedisEventStream.connect(server.url, SystemClock(), limits=StreamLimits(retry_after_s=60.0))
    member = stream.consumer("triggers", "precompute", "a")
    await stream.ping()
    assert await member.receive(1, 0.0) == []
    server.process.send_signal(signal.SIGSTOP)
    with pytest.raises(StreamDown):
        await stream.publish("triggers", "u", b"sent while it stood")
    receiving = asyncio.ensure_future(member.receive(1, 5.0))
    await asyncio.wait([receiving], timeout=1.0)
    server.process.send_signal(signal.SIGCONT)
    [delivery] = await receiving
    assert delivery.payload == b"sent while it stood"
    await member.close()
    await stream.close()


async def test_a_group_that_the_server_lost_is_made_again(stream: RedisEventStream, redis_url: str) -> None:
    member = stream.consumer("triggers", "precompute", "a")
    assert await member.receive(1, 0.0) == []
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    await stream.publish("triggers", "u", b"x")
    [delivery] = await member.receive(1, 1.0)
    assert delivery.payload == b"x"
    await member.close()


async def test_a_group_lost_while_a_member_waits_is_made_again(
    stream: RedisEventStream, redis_url: str, eventually: Eventually
) -> None:
    member = stream.consumer("triggers", "precompute", "a")
    waiting = asyncio.ensure_future(member.receive(1, 5.0))
    with redis.Redis.from_url(redis_url) as client:

        async def it_waits() -> bool:
            return bool(client.info("clients")["blocked_clients"])

        await eventually(it_waits)
        client.flushall()
    await stream.publish("triggers", "u", b"x")
    [delivery] = await waiting
    assert delivery.payload == b"x"
    await member.close()


async def test_trimming_takes_only_what_every_group_has_acknowledged(redis_url: str) -> None:
    limits = StreamLimits(retry_after_s=30, retry_delay_s=0.1, keep_acknowledged=100)
    stream = RedisEventStream.connect(redis_url, SystemClock(), limits=limits)
    quick, slow = (stream.consumer("triggers", group, "a") for group in ("quick", "slow"))
    for number in range(2000):
        await stream.publish("triggers", "u", b"%d" % number)
    held = await slow.receive(700, 1.0)
    for delivery in held[:600]:
        await slow.ack(delivery)
    for delivery in await quick.receive(2000, 1.0):
        await quick.ack(delivery)
    with redis.Redis.from_url(redis_url) as client:
        kept = client.xlen("rankgr:stream:triggers")
        first = client.xrange("rankgr:stream:triggers", count=1)[0][0].decode()
    assert 1400 <= kept < 2000, "acknowledged by both: 600, dropped in whole nodes"
    assert tuple(map(int, first.split("-"))) <= tuple(map(int, held[600].receipt.split("-")))
    assert await slow.lag() == 1400
    for member in (quick, slow):
        await member.close()
    await stream.close()


async def test_a_topic_is_bounded_and_what_was_dropped_unacknowledged_is_logged(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    limits = StreamLimits(retry_after_s=0.05, retry_delay_s=0.01, keep_at_most=200)
    stream = RedisEventStream.connect(redis_url, SystemClock(), limits=limits)
    member = stream.consumer("triggers", "precompute", "a")
    await stream.publish("triggers", "u", b"first")
    assert len(await member.receive(1, 1.0)) == 1
    for _ in range(1000):
        await stream.publish("triggers", "u", b"x")
    with redis.Redis.from_url(redis_url) as client:
        assert client.xlen("rankgr:stream:triggers") <= 400
    assert "topic nearly full" in caplog.text
    while "dropped before they were acknowledged" not in caplog.text:
        assert await member.receive(10, 1.0)
    await member.close()
    await stream.close()
