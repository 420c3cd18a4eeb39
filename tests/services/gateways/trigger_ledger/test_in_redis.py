"""What the trigger ledger in Redis must bear: outages, a lost subscription, and leaving no mark for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import redis

from contracts.errors import StoreDown
from contracts.ids import EventId, RequestId, UserId
from services.gateways.trigger_ledger.in_redis import RedisTriggerLedger
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions

pytestmark = pytest.mark.redis

StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]
Eventually = Callable[..., Awaitable[None]]
USER, ONE, EVENT = UserId("42"), RequestId("r-1"), EventId("e-1")


async def test_every_key_has_a_time_to_live(redis_url: str) -> None:
    ledger = RedisTriggerLedger.connect(redis_url, ttl_s=60.0)
    await ledger.announce(USER, ONE, EVENT, 100)
    await ledger.published(USER, ONE)
    await ledger.settled(USER, ONE)
    with redis.Redis.from_url(redis_url) as client:
        keys = client.keys("*")
        assert len(keys) == 2
        assert all(0 < client.pttl(key) <= 60_000 for key in keys)
    await ledger.close()


async def test_a_waiter_whose_subscription_is_cut_is_woken_all_the_same(redis_url: str) -> None:
    ledger = RedisTriggerLedger.connect(redis_url)
    await ledger.announce(USER, ONE, EVENT, 100)
    waiting = asyncio.ensure_future(ledger.wait_settled(USER, ONE, 5.0))
    await asyncio.wait([waiting], timeout=0.1)
    began = time.monotonic()
    with redis.Redis.from_url(redis_url) as client:
        client.client_kill_filter(_type="pubsub")
    await ledger.settled(USER, ONE)
    await waiting
    assert time.monotonic() - began < 2.0
    await ledger.close()


async def test_waiting_does_not_poll_while_the_subscription_stands(redis_url: str) -> None:
    ledger = RedisTriggerLedger.connect(redis_url)
    await ledger.announce(USER, ONE, EVENT, 100)
    await ledger.wait_settled(USER, ONE, 0.1)
    with redis.Redis.from_url(redis_url) as client:
        before = client.info("stats")["total_commands_processed"]
        await ledger.wait_settled(USER, ONE, 0.2)
        assert client.info("stats")["total_commands_processed"] - before <= 4
    await ledger.close()


async def test_every_call_raises_store_down_quickly_while_the_server_is_down_and_works_again_after(
    own_redis: StartRedis, tmp_path: Path, eventually: Eventually
) -> None:
    server = own_redis(tmp_path, ServerOptions())
    ledger = RedisTriggerLedger.connect(server.url)
    await ledger.announce(USER, ONE, EVENT, 100)
    await ledger.wait_settled(USER, ONE, 0.01)
    server.kill()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: ledger.announce(USER, ONE, EVENT, 100),
        lambda: ledger.published(USER, ONE),
        lambda: ledger.newest(USER),
        lambda: ledger.settled(USER, ONE),
        lambda: ledger.wait_settled(USER, ONE, 1.0),
        lambda: ledger.wait_settled(USER, None, 1.0),
        ledger.ping,
    ]
    began = time.monotonic()
    for call in calls:
        with pytest.raises(StoreDown):
            await call()
    assert time.monotonic() - began < 0.3 * len(calls)
    own_redis(tmp_path, ServerOptions(port=server.port))

    async def it_is_back() -> bool:
        try:
            await ledger.announce(USER, ONE, EVENT, 100)
        except StoreDown:
            return False
        return True

    await eventually(it_is_back)
    waiting = asyncio.ensure_future(ledger.wait_settled(USER, ONE, 5.0))
    await asyncio.wait([waiting], timeout=0.3)
    await ledger.settled(USER, ONE)
    async with asyncio.timeout(2.0):
        await waiting
    await ledger.close()
