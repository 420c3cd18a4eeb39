"""The history store in Redis: one sorted set per user, so that order and uniqueness are the server's own.

Mains of history, precompute and trigger build it.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import cast

from redis.asyncio import Redis

from contracts.behaviors import Behavior
from contracts.errors import StoreDown
from contracts.ids import ItemId, UserId
from services.gateways.history.port import PastInteraction
from services.gateways.redis_link import RedisTimes
from services.gateways.redis_link.clients import connect_redis
from services.gateways.redis_link.failing import failing_as
from services.gateways.user_keys import user_key

# Members of equal score are kept in byte order.  An item id with its sign bit flipped, big endian, then the
# behaviour's name, is the port's order; the timestamp (the score) makes the member an interaction's whole
# identity.
_ITEM = Struct(">Q")
_TIME = Struct(">Q")
_SIGN = 1 << 63

# What was dropped stays known by its newest member (the floor, a member of score -1: no timestamp is
# negative). What is not newer than the floor was dropped once, or would have been: it is not added again.
_REMEMBER = """
local key, keep, block, ttl = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local floor_time, floor_member
local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
if first[1] and tonumber(first[2]) < 0 then
  floor_member = first[1]
  floor_time = struct.unpack('>I8', floor_member, #floor_member - 7)
end
for i = 4, #ARGV, 2 do
  local time, member = tonumber(ARGV[i]), ARGV[i + 1]
  if not floor_time or time > floor_time or (time == floor_time and floor_member < member) then
    redis.call('ZADD', key, ARGV[i], member)
  end
end
local start = floor_member and 1 or 0
local blocks = math.floor((redis.call('ZCARD', key) - start - keep) / block)
if blocks > 0 then
  local last = start + blocks * block - 1
  local newest_dropped = redis.call('ZRANGE', key, last, last)[1]
  redis.call('ZREMRANGEBYRANK', key, 0, last)
  redis.call('ZADD', key, -1, newest_dropped)
end
redis.call('PEXPIRE', key, ttl)
"""


class RedisHistoryStore:
    """Keys `rankgr:history:{user}`."""

    def __init__(self, redis: Redis, url: str, *, keep: int, drop_block: int, ttl_s: float) -> None:
        self._redis = redis
        self._url = url
        self._settings = [keep, drop_block, round(ttl_s * 1000)]
        self._remember = redis.register_script(_REMEMBER)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        keep: int = 1000,
        drop_block: int = 128,
        ttl_s: float = 30 * 86_400.0,
        times: RedisTimes | None = None,
    ) -> RedisHistoryStore:
        """A store that connects on its first call."""
        redis = connect_redis(url, times or RedisTimes())
        return cls(redis, url, keep=keep, drop_block=drop_block, ttl_s=ttl_s)

    async def remember(self, user: UserId, interactions: Sequence[PastInteraction]) -> None:
        """See the port."""
        if not interactions:
            return
        arguments: list[int | bytes] = [*self._settings]
        for one in interactions:
            arguments += (one.timestamp, _member(one))
        with failing_as(StoreDown, self._url):
            await self._remember([user_key("history", user)], arguments)

    async def recent(self, user: UserId) -> list[PastInteraction]:
        """See the port."""
        with failing_as(StoreDown, self._url):
            members = await self._redis.zrangebyscore(user_key("history", user), 0, "+inf")
        return [_interaction(member) for member in cast(list[bytes], members)]

    async def ping(self) -> None:
        """See the port."""
        with failing_as(StoreDown, self._url):
            await self._redis.ping()

    async def close(self) -> None:
        """See the port."""
        await self._redis.aclose()


def _member(one: PastInteraction) -> bytes:
    return _ITEM.pack(one.item_id + _SIGN) + one.behavior.encode() + b"\0" + _TIME.pack(one.timestamp)


def _interaction(member: bytes) -> PastInteraction:
    item_id = _ITEM.unpack_from(member)[0] - _SIGN
    behavior = Behavior(member[_ITEM.size : -_TIME.size - 1].decode())
    return PastInteraction(ItemId(item_id), behavior, _TIME.unpack(member[-_TIME.size :])[0])
