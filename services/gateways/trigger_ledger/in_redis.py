"""The trigger ledger in Redis: a hash per request, a hash per user, and one channel that wakes waiters.

Mains of trigger, precompute and retrieval build it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import cast

from redis.asyncio import Redis

from contracts.errors import StoreDown
from contracts.ids import EventId, RequestId, UserId
from services.gateways.redis_link import RedisTimes, connect_redis, failing_as
from services.gateways.trigger_ledger.port import Announcement
from services.gateways.trigger_ledger.wake_up import WakeUp
from services.gateways.user_keys import user_key

CHANNEL = "rankgr:settled"
# How often a waiter looks for itself: seldom while the subscription stands (a message may still be lost with
# the server's memory), often while it does not.
LOOK_S = 0.25
LOOK_UNHEARD_S = 0.005

_ANNOUNCE = """
local mark = redis.call('HMGET', KEYS[1], 'event', 'accepted_at', 'published')
if mark[1] then return {mark[1], mark[2], mark[3]} end
redis.call('HSET', KEYS[1], 'event', ARGV[1], 'accepted_at', ARGV[2], 'published', '0', 'settled', '0')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {ARGV[1], ARGV[2], '0'}
"""

# Only a mark that is there is changed: a new one without a TTL would stay for ever.
_PUBLISHED = """
local accepted_at = redis.call('HGET', KEYS[1], 'accepted_at')
if not accepted_at then return end
redis.call('HSET', KEYS[1], 'published', '1')
local newest = redis.call('HGET', KEYS[2], 'accepted_at')
if not newest or tonumber(accepted_at) >= tonumber(newest) then
  redis.call('HSET', KEYS[2], 'accepted_at', accepted_at, 'request', ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
"""
_SETTLED = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'settled', '1') end
redis.call('PUBLISH', ARGV[1], KEYS[1])
"""


class RedisTriggerLedger:
    """Keys `rankgr:trigger:{user}:request:REQUEST` and `rankgr:trigger:{user}:newest`."""

    def __init__(self, redis: Redis, listening: Redis, url: str, *, ttl_s: float) -> None:
        self._redis = redis
        self._listening = listening
        self._url = url
        self._ttl_ms = round(ttl_s * 1000)
        self._announce = redis.register_script(_ANNOUNCE)
        self._published = redis.register_script(_PUBLISHED)
        self._settled = redis.register_script(_SETTLED)
        self._wake_up = WakeUp(listening, CHANNEL)

    @classmethod
    def connect(cls, url: str, *, ttl_s: float = 600.0, times: RedisTimes | None = None) -> RedisTriggerLedger:
        """A ledger that connects on its first call."""
        times = times or RedisTimes()
        return cls(connect_redis(url, times), connect_redis(url, replace(times, connections=1)), url, ttl_s=ttl_s)

    async def announce(self, user: UserId, request: RequestId, event: EventId, accepted_at: int) -> Announcement:
        """See the port."""
        with failing_as(StoreDown, self._url):
            found = await self._announce([_mark(user, request)], [event, accepted_at, self._ttl_ms])
        return Announcement(EventId(found[0].decode()), int(found[1]), found[2] == b"1")

    async def published(self, user: UserId, request: RequestId) -> None:
        """See the port."""
        with failing_as(StoreDown, self._url):
            await self._published([_mark(user, request), _newest(user)], [request, self._ttl_ms])

    async def newest(self, user: UserId) -> int | None:
        """See the port."""
        with failing_as(StoreDown, self._url):
            found = await self._redis.hget(_newest(user), "accepted_at")
        return None if found is None else int(found)

    async def settled(self, user: UserId, request: RequestId) -> None:
        """See the port."""
        with failing_as(StoreDown, self._url):
            await self._settled([_mark(user, request)], [CHANNEL])

    async def wait_settled(self, user: UserId, request: RequestId | None, timeout_s: float) -> None:
        """See the port."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if request is None:
            request = await self._newest_request(user)
            if request is None:
                return
        name = _mark(user, request)
        with self._wake_up.waiting(name) as woken:
            while await self._pending(name) and (left := deadline - loop.time()) > 0:
                look_s = LOOK_S if self._wake_up.listening else LOOK_UNHEARD_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, look_s)):
                        await woken.wait()
                        return

    async def ping(self) -> None:
        """See the port."""
        with failing_as(StoreDown, self._url):
            await self._redis.ping()

    async def close(self) -> None:
        """See the port."""
        await self._wake_up.close()
        await self._listening.aclose()
        await self._redis.aclose()

    async def _pending(self, mark: str) -> bool:
        with failing_as(StoreDown, self._url):
            found = await self._redis.hget(mark, "settled")
        return found == b"0"

    async def _newest_request(self, user: UserId) -> RequestId | None:
        with failing_as(StoreDown, self._url):
            found = cast(bytes | None, await self._redis.hget(_newest(user), "request"))
        return None if found is None else RequestId(found.decode())


def _mark(user: UserId, request: RequestId) -> str:
    return user_key("trigger", user, f":request:{request}")


def _newest(user: UserId) -> str:
    return user_key("trigger", user, ":newest")
