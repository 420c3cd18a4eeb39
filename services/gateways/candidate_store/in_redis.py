"""The candidate store in Redis: one packed string per user (packed.py), replaced by one script.

Mains of precompute and retrieval build it.  A page costs one range read over a connection that all requests share;
nothing is parsed that is not asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from contracts.candidate_set import CandidateSet
from contracts.errors import StoreDown
from contracts.ids import UserId
from services.gateways.candidate_store.packed import (
    FORMAT,
    MAGIC,
    Header,
    Layout,
    pack,
    read_header,
    read_records,
)
from services.gateways.candidate_store.port import ListHead, ListPage, version_of
from services.gateways.redis_link import RedisTimes, place_of
from services.gateways.redis_link.link_errors import LinkFailed
from services.gateways.redis_link.mux import MuxRedis, Script
from services.gateways.redis_link.mux_node import LinkWatch
from services.gateways.redis_link.resp import command, getrange
from services.gateways.user_keys import user_key

# The newest trigger wins, in one step.  Both times lie at fixed places of the header; below 2**53 Lua's
# numbers hold them exactly.  A value that is no set of ours is overwritten.
_PUT = Script.of(f"""
local now = redis.call('GETRANGE', KEYS[1], 0, 31)
if #now == 32 and string.sub(now, 1, 5) == '{MAGIC.decode()}\\{FORMAT}' then
  local old_trigger, old_made = struct.unpack('<i8i8', now, 17)
  local new_trigger, new_made = struct.unpack('<i8i8', ARGV[1], 17)
  if old_trigger > new_trigger then return 0 end
  if old_trigger ~= new_trigger or old_made ~= new_made then
    local left = redis.call('PTTL', KEYS[1])
    local keep = tonumber(ARGV[3])
    redis.call('RENAME', KEYS[1], KEYS[2])
    if left < 0 or left > keep then redis.call('PEXPIRE', KEYS[2], keep) end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

_MULTI, _EXEC = command(b"MULTI"), command(b"EXEC")


class RedisCandidateStore:
    """Keys `rankgr:candidates:{user}` and, for the set before it, `...:previous`."""

    def __init__(self, mux: MuxRedis, url: str, *, ttl_s: float, previous_ttl_s: float) -> None:
        self._mux = mux
        self._place = place_of(url)
        self._ttl_ms = round(ttl_s * 1000)
        self._previous_ttl_ms = round(previous_ttl_s * 1000)
        # All lists of one bundle have one layout: the last one seen is the best guess for the next.
        self._layout = Layout()

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        ttl_s: float = 86_400.0,
        previous_ttl_s: float = 120.0,
        times: RedisTimes | None = None,
        watch: LinkWatch | None = None,
    ) -> RedisCandidateStore:
        """A store that connects on its first call; `watch` is told what happens on its connections."""
        return cls(MuxRedis.connect(url, times, watch=watch), url, ttl_s=ttl_s, previous_ttl_s=previous_ttl_s)

    async def put(self, candidates: CandidateSet) -> bool:
        """See the port."""
        keys = [_newest(candidates.user_id), _previous(candidates.user_id)]
        with self._failing():
            stored = await self._mux.run(_PUT, keys, [pack(candidates), self._ttl_ms, self._previous_ttl_ms])
        return bool(stored)

    async def head(self, user: UserId) -> ListHead | None:
        """See the port."""
        page = await self._page(_newest(user), 0, 0)
        return page.head if page else None

    async def page(self, user: UserId, offset: int, limit: int) -> ListPage | None:
        """See the port."""
        if offset:
            return await self._page(_newest(user), offset, limit)
        # The first page of a list of the usual layout, in one step: what most requests want.
        layout, key = self._layout, _newest(user)
        last = layout.header_size + limit * layout.record_size - 1
        try:
            data = await self._mux.ask(key, getrange(key, 0, last))
        except LinkFailed as error:
            raise self._down(error) from error
        header = read_header(data)
        if header is None or header.layout != layout:
            return await self._page(key, 0, limit)
        return ListPage(header.head, 0, read_records(data[layout.header_size :], header))

    async def previous_page(self, user: UserId, offset: int, limit: int) -> ListPage | None:
        """See the port."""
        return await self._page(_previous(user), offset, limit)

    async def page_of(self, user: UserId, version: str, offset: int, limit: int) -> ListPage | None:
        """See the port."""
        # Newest first: a set that is replaced between the two reads is then found among the previous.
        for key in (_newest(user), _previous(user)):
            page = await self._page(key, offset, limit)
            if page is not None and version_of(page.head) == version:
                return page
        return None

    async def ping(self) -> None:
        """See the port."""
        with self._failing():
            await self._mux.ping()

    async def close(self) -> None:
        """See the port."""
        await self._mux.close()

    async def _page(self, key: bytes, offset: int, limit: int) -> ListPage | None:
        for layout in (self._layout, None):
            header, records = await self._read(key, offset, limit, layout)
            if header is None:
                return None
            if records is not None:
                self._layout = header.layout
                return ListPage(header.head, offset, read_records(records, header))
        return None

    async def _read(
        self, key: bytes, offset: int, limit: int, layout: Layout | None
    ) -> tuple[Header | None, bytes | None]:
        """Header, and records if they lie as `layout` says (else None).  No layout: reads all."""
        if layout is None:
            whole = await self._range(key, 0, -1)
            header = read_header(whole)
            return header, None if header is None else _cut(whole, header, offset, limit)
        first, last = layout.range_of(offset, limit)
        if offset == 0:
            data = await self._range(key, 0, max(last, layout.header_size - 1))
            begin, records = data, data[first : last + 1]
        else:
            begin, records = await self._two_ranges(key, layout.header_size - 1, first, max(first, last))
            records = records[: max(0, last + 1 - first)]
        header = read_header(begin)
        if header is None and begin.startswith(MAGIC):
            return await self._read(key, offset, limit, None)
        return header, records if header is not None and header.layout == layout else None

    async def _range(self, key: bytes, first: int, last: int) -> bytes:
        with self._failing():
            data: bytes = await self._mux.ask(key, getrange(key, first, last))
        return data

    async def _two_ranges(self, key: bytes, header_last: int, first: int, last: int) -> tuple[bytes, bytes]:
        """Both of one and the same value: MULTI, or a put could come between them."""
        together = _MULTI + getrange(key, 0, header_last) + getrange(key, first, last) + _EXEC
        with self._failing():
            *_queued, (begin, records) = await self._mux.ask(key, together, 4)
        return begin, records

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except LinkFailed as error:
            raise self._down(error) from error

    def _down(self, error: LinkFailed) -> StoreDown:
        return StoreDown(f"redis at {self._place}: {error}")


def _cut(data: bytes, header: Header, offset: int, limit: int) -> bytes:
    first, last = header.layout.range_of(offset, limit)
    return data[first : last + 1]


def _newest(user: UserId) -> bytes:
    return user_key("candidates", user).encode()


def _previous(user: UserId) -> bytes:
    return user_key("candidates", user, ":previous").encode()
