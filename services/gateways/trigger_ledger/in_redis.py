"""The trigger ledger in Redis: a hash per request, a hash per user, and one channel that wakes waiters.

Mains of trigger, precompute and retrieval build it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from contracts.errors import StoreDown
from contracts.ids import EventId, RequestId, UserId
from services.gateways.redis_link import RedisTimes, place_of
from services.gateways.redis_link.link_errors import LinkFailed
from services.gateways.redis_link.mux import MuxRedis, Script
from services.gateways.redis_link.mux_node import LinkWatch
from services.gateways.redis_link.resp import command
from services.gateways.trigger_ledger.port import Announcement
from services.gateways.trigger_ledger.wake_up import WakeUp
from services.gateways.user_keys import user_key

CHANNEL = b"rankgr:settled"
# How often a waiter looks for itself: seldom while the subscription stands (a message may still be lost with
# the server's memory), often while it does not, and then less and less so: who may not subscribe at all still reads.
LOOK_S = 0.25
LOOK_UNHEARD_S = (0.005, 0.05)

# Nothing for a request that is new: its caller knows what it announced.
_ANNOUNCE = Script.of("""
local mark = redis.call('HMGET', KEYS[1], 'event', 'accepted_at', 'published')
if mark[1] then return {mark[1], mark[2], mark[3]} end
redis.call('HSET', KEYS[1], 'event', ARGV[1], 'accepted_at', ARGV[2], 'published', '0', 'settled', '0')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return ''
""")
_ANNOUNCE_CALL = _ANNOUNCE.shape(1, 3)

# Only a mark that is there is changed: a new one without a TTL would stay for ever.
_PUBLISHED = Script.of("""
local accepted_at = redis.call('HGET', KEYS[1], 'accepted_at')
if not accepted_at then return '' end
redis.call('HSET', KEYS[1], 'published', '1')
local newest = redis.call('HGET', KEYS[2], 'accepted_at')
if not newest or tonumber(accepted_at) >= tonumber(newest) then
  redis.call('HSET', KEYS[2], 'accepted_at', accepted_at, 'request', ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return ''
""")
_PUBLISHED_CALL = _PUBLISHED.shape(2, 2)
_SETTLED = Script.of("""
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'settled', '1') end
redis.call('PUBLISH', ARGV[1], KEYS[1])
""")


class RedisTriggerLedger:
    """Keys `rankgr:trigger:{user}:request:REQUEST` and `rankgr:trigger:{user}:newest`."""

    def __init__(self, mux: MuxRedis, wake_up: WakeUp, url: str, *, ttl_s: float) -> None:
        self._mux = mux
        self._wake_up = wake_up
        self._url = url
        self._ttl = b"%d" % round(ttl_s * 1000)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        ttl_s: float = 600.0,
        times: RedisTimes | None = None,
        watch: LinkWatch | None = None,
    ) -> RedisTriggerLedger:
        """A ledger that connects on its first call; `watch` is told what happens on its connection."""
        times = times or RedisTimes()
        return cls(MuxRedis.connect(url, times, watch=watch), WakeUp(url, CHANNEL, times), url, ttl_s=ttl_s)

    async def announce(self, user: UserId, request: RequestId, event: EventId, accepted_at: int) -> Announcement:
        """See the port."""
        mark, one, two, ttl = _mark(user, request), event.encode(), b"%d" % accepted_at, self._ttl
        call = _ANNOUNCE_CALL % (len(mark), mark, len(one), one, len(two), two, len(ttl), ttl)
        try:
            known = await self._mux.call(_ANNOUNCE, mark, call)
        except LinkFailed as error:
            raise self._down(error) from error
        if known == b"":
            return Announcement(event, accepted_at, published=False)
        return Announcement(EventId(known[0].decode()), int(known[1]), known[2] == b"1")

    async def published(self, user: UserId, request: RequestId) -> None:
        """See the port."""
        mark, newest, told, ttl = _mark(user, request), _newest(user), request.encode(), self._ttl
        call = _PUBLISHED_CALL % (len(mark), mark, len(newest), newest, len(told), told, len(ttl), ttl)
        try:
            await self._mux.call(_PUBLISHED, mark, call)
        except LinkFailed as error:
            raise self._down(error) from error

    async def newest(self, user: UserId) -> int | None:
        """See the port."""
        found = await self._field(_newest(user), b"accepted_at")
        return None if found is None else int(found)

    async def settled(self, user: UserId, request: RequestId) -> None:
        """See the port."""
        with self._failing():
            await self._mux.run(_SETTLED, [_mark(user, request)], [CHANNEL])

    async def wait_settled(self, user: UserId, request: RequestId | None, timeout_s: float) -> None:
        """See the port."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if request is None:
            request = await self._newest_request(user)
            if request is None:
                return
        name = _mark(user, request)
        unheard_s, longest_s = LOOK_UNHEARD_S
        with self._wake_up.waiting(name) as woken:
            while await self._pending(name) and (left := deadline - loop.time()) > 0:
                look_s = LOOK_S if self._wake_up.listening else unheard_s
                unheard_s = min(longest_s, 1.5 * unheard_s)
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, look_s)):
                        await woken.wait()
                        return

    async def ping(self) -> None:
        """See the port."""
        with self._failing():
            await self._mux.ping()

    async def close(self) -> None:
        """See the port."""
        await self._wake_up.close()
        await self._mux.close()

    async def _pending(self, mark: bytes) -> bool:
        return await self._field(mark, b"settled") == b"0"

    async def _newest_request(self, user: UserId) -> RequestId | None:
        found = await self._field(_newest(user), b"request")
        return None if found is None else RequestId(found.decode())

    async def _field(self, key: bytes, field: bytes) -> bytes | None:
        with self._failing():
            found: bytes | None = await self._mux.ask(key, command(b"HGET", key, field))
        return found

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except LinkFailed as error:
            raise self._down(error) from error

    def _down(self, error: LinkFailed) -> StoreDown:
        return StoreDown(f"redis at {place_of(self._url)}: {error}")


def _mark(user: UserId, request: RequestId) -> bytes:
    return user_key("trigger", user, f":request:{request}").encode()


def _newest(user: UserId) -> bytes:
    return user_key("trigger", user, ":newest").encode()
