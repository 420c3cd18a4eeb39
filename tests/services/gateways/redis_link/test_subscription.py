"""A subscription hears what is published, says when it does not, and comes back by itself."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from services.gateways.redis_link import RedisTimes
from services.gateways.redis_link import subscription as subscription_file
from services.gateways.redis_link.subscription import Subscription
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions

pytestmark = pytest.mark.redis

StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]
Eventually = Callable[..., Awaitable[None]]
CHANNEL = b"test:channel"
TIMES = RedisTimes(connect_s=0.5, answer_s=0.2)


@asynccontextmanager
async def subscribed(url: str, heard: list[bytes]) -> AsyncIterator[Subscription]:
    one = Subscription.connect(url, CHANNEL, heard.append, TIMES)
    one.begin()
    try:
        yield one
    finally:
        await one.close()


async def test_what_is_published_is_heard_in_its_order(redis_url: str, eventually: Eventually) -> None:
    heard: list[bytes] = []
    messages = [b"%d" % n * (n + 1) for n in range(200)]
    async with subscribed(redis_url, heard) as subscription:
        await eventually(lambda: _is(subscription.standing))
        with redis.Redis.from_url(redis_url) as client:
            for message in messages:
                client.publish(CHANNEL.decode(), message)
            client.publish("test:other", b"not for us")
        await eventually(lambda: _is(len(heard) >= len(messages)))
    assert heard == messages


async def test_messages_between_heartbeats_and_their_answers_are_heard(
    redis_url: str, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription_file, "HEARTBEAT_S", 0.001)
    heard: list[bytes] = []
    async with subscribed(redis_url, heard) as subscription:
        await eventually(lambda: _is(subscription.standing))
        with redis.Redis.from_url(redis_url) as client:
            for number in range(300):
                await asyncio.to_thread(client.publish, CHANNEL.decode(), b"%d" % number)
        await eventually(lambda: _is(len(heard) == 300))
        assert subscription.standing


async def test_a_server_that_falls_silent_is_noticed_and_heard_again_when_it_wakes_up(
    own_redis: StartRedis, tmp_path: Path, eventually: Eventually
) -> None:
    server = own_redis(tmp_path, ServerOptions())
    heard: list[bytes] = []
    async with subscribed(server.url, heard) as subscription:
        await eventually(lambda: _is(subscription.standing))
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await eventually(lambda: _is(not subscription.standing), within_s=10.0)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await eventually(lambda: _is(subscription.standing), within_s=10.0)
        with redis.Redis(port=server.port) as client:
            client.publish(CHANNEL.decode(), b"again")
        await eventually(lambda: _is(heard == [b"again"]))


async def test_a_server_that_refuses_the_channel_is_no_flood_of_log_lines(
    own_redis: StartRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    server = own_redis(tmp_path, ServerOptions())
    with redis.Redis(port=server.port) as client:
        client.execute_command("ACL", "SETUSER", "deaf", "on", ">secret", "+@all", "resetchannels")

        async def refused_twice() -> bool:
            said = client.info("commandstats").get("cmdstat_subscribe", {})
            return int(said.get("rejected_calls", 0)) >= 2

        async with subscribed(server.url.replace("redis://", "redis://deaf:secret@"), []) as subscription:
            await eventually(refused_twice)
            assert not subscription.standing
    assert [one for one in caplog.records if one.levelname not in ("DEBUG", "INFO")] == []


async def _is(true: bool) -> bool:
    return true
