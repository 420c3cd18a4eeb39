"""Hidden items in Redis: a sorted set (item -> hidden since), a counter that grows with every change, its birth.

Mains of retrieval and precompute and the command line build it.  No key expires: a cache that evicts what has a
time to live keeps them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress

from contracts.errors import BadRequest, StoreDown
from contracts.ids import ItemId
from services.gateways.hidden_items.port import MAX_HIDDEN, HiddenSet, Version, too_many
from services.gateways.redis_link import RedisTimes, place_of
from services.gateways.redis_link.link_errors import LinkFailed
from services.gateways.redis_link.mux import MuxRedis, Script
from services.gateways.redis_link.mux_node import LinkWatch
from services.gateways.redis_link.resp import Part, command

ITEMS = b"rankgr:{hidden-items}"
VERSION = b"rankgr:{hidden-items}:version"
BORN = b"rankgr:{hidden-items}:born"
_KEYS = [ITEMS, VERSION, BORN]
# Enough for the server not to be held up by one answer.
READ_AT_ONCE = 5_000
TRIES = 5

# ARGV: the bound, how many to hide, then (since, item) of each, then the items to show.
_CHANGE = Script.of("""
local most, hide = tonumber(ARGV[1]), tonumber(ARGV[2])
local after = redis.call('ZCARD', KEYS[1])
for i = 1, hide do
  if not redis.call('ZSCORE', KEYS[1], ARGV[2 + 2 * i]) then after = after + 1 end
end
for i = 3 + 2 * hide, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then after = after - 1 end
end
if after > most then return -after end
for i = 1, hide do redis.call('ZADD', KEYS[1], ARGV[1 + 2 * i], ARGV[2 + 2 * i]) end
for i = 3 + 2 * hide, #ARGV do redis.call('ZREM', KEYS[1], ARGV[i]) end
redis.call('INCR', KEYS[2])
local time = redis.call('TIME')
redis.call('SET', KEYS[3], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), 'NX')
return redis.call('ZCARD', KEYS[1])
""")

# ARGV: birth and number of the version that is known, then (since, item) of each.  The condition is Version.forgot.
_RESTORE = Script.of("""
local number, known_number = tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[2])
local born, known_born = tonumber(redis.call('GET', KEYS[3]) or '0'), tonumber(ARGV[1])
if known_number == 0 then return 0 end
if number > 0 and (born < known_born or (born == known_born and number >= known_number)) then return 0 end
for i = 3, #ARGV, 2 do redis.call('ZADD', KEYS[1], 'NX', ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], string.format('%.0f', math.max(number, known_number) + 1))
redis.call('SET', KEYS[3], ARGV[1])
return 1
""")


class RedisHiddenItems:
    """Keys `rankgr:{hidden-items}`, `rankgr:{hidden-items}:version` and `rankgr:{hidden-items}:born`."""

    def __init__(self, mux: MuxRedis, url: str) -> None:
        self._mux = mux
        self._place = place_of(url)

    @classmethod
    def connect(cls, url: str, *, times: RedisTimes | None = None, watch: LinkWatch | None = None) -> RedisHiddenItems:
        """A set that connects on its first call."""
        return cls(MuxRedis.connect(url, times, watch=watch), url)

    async def change(self, hide: Mapping[ItemId, int], show: Collection[ItemId]) -> int:
        """See the port."""
        # Lua keeps about 8000 values on its stack, but ARGV is a table: its length is bounded by the request's.
        hidden = {item: since for item, since in hide.items() if item not in show}
        pairs = [part for item, since in hidden.items() for part in (since, item)]
        with self._failing():
            count: int = await self._mux.run(_CHANGE, _KEYS, [MAX_HIDDEN, len(hidden), *pairs, *show])
        if count < 0:
            raise BadRequest(too_many(-count))
        return count

    async def version(self) -> Version:
        """See the port."""
        with self._failing():
            born, number = await self._mux.ask(VERSION, command(b"MGET", BORN, VERSION))
            return Version(int(born or 0), int(number or 0))

    async def read(self) -> HiddenSet:
        """See the port."""
        for _ in range(TRIES):
            before = await self.version()
            since = await self._read_items()
            if await self.version() == before:
                return HiddenSet(before, since)
        raise StoreDown(f"redis at {self._place}: the hidden items change faster than they can be read")

    async def restore(self, known: HiddenSet) -> None:
        """See the port."""
        pairs: list[Part] = [part for item, since in known.since.items() for part in (since, item)]
        with self._failing():
            await self._mux.run(_RESTORE, _KEYS, [known.version.born, known.version.number, *pairs])

    async def ping(self) -> None:
        """See the port."""
        with self._failing():
            await self._mux.ping()

    async def close(self) -> None:
        """See the port."""
        await self._mux.close()

    async def _read_items(self) -> dict[ItemId, int]:
        since: dict[ItemId, int] = {}
        first = 0
        while True:
            with self._failing():
                asked = command(b"ZRANGE", ITEMS, first, first + READ_AT_ONCE - 1, b"WITHSCORES")
                flat: list[bytes] = await self._mux.ask(ITEMS, asked)
            since |= dict(_hidden_since(flat))
            if len(flat) < 2 * READ_AT_ONCE:
                return since
            first += READ_AT_ONCE

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except LinkFailed as error:
            raise StoreDown(f"redis at {self._place}: {error}") from error
        except ValueError as error:
            # A stranger's hand: followers go on with what they know, and come again.
            raise StoreDown(f"redis at {self._place}: {VERSION.decode()} holds no version of ours") from error


def _hidden_since(flat: list[bytes]) -> Iterator[tuple[ItemId, int]]:
    """Members and their scores.  What is no item (a stranger's hand) hides none, and keeps nobody from reading on."""
    for item, score in zip(flat[::2], flat[1::2], strict=True):
        with suppress(ValueError, OverflowError):
            yield ItemId(int(item)), int(float(score))
