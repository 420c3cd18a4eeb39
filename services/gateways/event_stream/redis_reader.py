"""One reader of a Redis Stream by its own positions; RedisEventStream opens it.

A topic is one stream here, hence one part.  A position is the number of the last entry that was read, and which entry
of the topic's history that was: the latter tells how many were dropped unread.  A consumer group of the reader's name,
in which nobody ever is, marks how far it came, so that trimming leaves the rest.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from contracts.errors import BadInput, StreamDown
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import NOTHING_PAUSED, ReadBatch, ReadMessage
from services.gateways.event_stream.redis_streams import BLOCK_S, TRIM, stream_key
from services.gateways.redis_link.failing import failing_as

PART = "0"
_POSITION = re.compile(r"(\d+-\d+)/(\d+)")
_BEGINNING = "0-0"

_log = logging.getLogger(__name__)

Entry = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class _Place:
    """The entry that was read last, and how many of the topic came up to it; `seen` None: not known yet."""

    number: str = _BEGINNING
    seen: int | None = None

    @classmethod
    def read(cls, position: str) -> _Place:
        """As a message's position says it.  Raises BadInput."""
        if (found := _POSITION.fullmatch(position)) is None:
            raise BadInput(f"no position of this stream: {position!r}")
        return cls(found[1], int(found[2]))


class RedisReader:
    """Every reading says first what the stream still has, in the same step."""

    def __init__(
        self, redis: Redis, url: str, limits: StreamLimits, place: tuple[str, str], positions: Mapping[str, str]
    ) -> None:
        self._redis = redis
        self._url = url
        self._limits = limits
        self._topic, self._name = place
        self._stream = stream_key(self._topic)
        self._place = _Place.read(positions[PART]) if PART in positions else _Place()
        self._trim = redis.register_script(TRIM)
        self._marked = False

    async def parts(self) -> frozenset[str]:
        """See the port."""
        return frozenset({PART})

    async def read(self, most: int, wait_s: float, paused: Collection[str] = NOTHING_PAUSED) -> ReadBatch:
        """See the port."""
        if PART in paused:
            return ReadBatch([])
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        with failing_as(StreamDown, self._url):
            lost, entries = await self._look(most)
            while not entries and not lost and (left_s := deadline_s - loop.time()) > 0:
                entries = await self._wait(most, min(left_s, BLOCK_S))
        seen = self._place.seen or 0
        messages = [self._message(number, fields, seen + n) for n, (number, fields) in enumerate(entries, 1)]
        if entries:
            self._place = _Place(entries[-1][0].decode(), seen + len(entries))
        ended = len(entries) < most and not lost
        return ReadBatch(messages, frozenset({PART}) if ended else NOTHING_PAUSED, lost)

    async def keep(self, positions: Mapping[str, str]) -> None:
        """See the port."""
        if PART not in positions:
            return
        with failing_as(StreamDown, self._url):
            await self._mark(_Place.read(positions[PART]))
            await self._trim([self._stream], [self._limits.keep_acknowledged])

    async def lag(self) -> int:
        """See the port."""
        with failing_as(StreamDown, self._url):
            [known] = await self._ask(0)
        # At most what is still there: the rest is lost.
        return max(0, min(int(known["entries-added"]) - (self._place.seen or 0), int(known["length"])))

    async def close(self) -> None:
        """See the port."""
        await self._redis.aclose()

    async def _look(self, most: int) -> tuple[int, list[Entry]]:
        """What was lost, and what comes next; waits for nothing."""
        known, answer = await self._ask(most)
        before = self._place
        lost = self._compare(known)
        if self._place.number != before.number:
            # Another place than the one that was asked for.
            return lost, []
        entries = _entries(answer)
        if len(entries) < most:
            # The end of the stream: whatever was thought before, this is how many there were.
            self._place = _Place(self._place.number, int(known["entries-added"]) - len(entries))
        return lost, entries

    async def _ask(self, most: int) -> list[Any]:
        """What the server knows of the stream and, unless `most` is 0, what comes after our place, in one step."""
        if not self._marked:
            await self._mark(self._place)
        try:
            return await self._asked(most)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
        # Somebody deleted it, or the server lost everything.
        await self._mark(self._place)
        return await self._asked(most)

    async def _asked(self, most: int) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xinfo_stream(self._stream)
        if most:
            pipeline.xread({self._stream: self._place.number}, count=most)
        found: list[Any] = await pipeline.execute()
        return found

    def _compare(self, known: dict[str, Any]) -> int:
        """How many entries were dropped after our place; the place is moved behind them."""
        added = int(known["entries-added"])
        removed = added - int(known["length"])
        seen = self._place.seen
        if seen is None:
            self._place = _Place(self._place.number, removed)
            return 0
        if added < seen:
            _log.warning("the topic was made anew: what was in it is gone", extra={"topic": self._topic})
            if _order(known["last-generated-id"]) < _order(self._place.number):
                self._place = _Place()
                self._marked = False
            self._place = _Place(self._place.number, removed)
            return 1
        if removed <= seen:
            return 0
        _log.warning(
            "messages were dropped before they were read: the topic is too short",
            extra={"topic": self._topic, "reader": self._name, "messages": removed - seen},
        )
        self._place = _Place(self._place.number, removed)
        return removed - seen

    async def _wait(self, most: int, block_s: float) -> list[Entry]:
        block_ms = max(1, round(block_s * 1000))
        return _entries(await self._redis.xread({self._stream: self._place.number}, count=most, block=block_ms))

    async def _mark(self, place: _Place) -> None:
        """Let the group of our name stand here; it is made where it is not there."""
        try:
            await self._redis.xgroup_setid(self._stream, self._name, place.number, entries_read=place.seen)
        except ResponseError as error:
            # No such group, or no such topic yet.
            if "NOGROUP" not in str(error) and "requires the key to exist" not in str(error):
                raise
            await self._redis.xgroup_create(
                self._stream, self._name, id=place.number, mkstream=True, entries_read=place.seen
            )
        self._marked = True

    def _message(self, number: bytes, fields: dict[bytes, bytes], seen: int) -> ReadMessage:
        key = fields.get(b"key", b"").decode(errors="backslashreplace")
        name = number.decode()
        # The server numbers entries by its clock.
        published_at = int(name.partition("-")[0])
        return ReadMessage(PART, f"{name}/{seen}", key, fields.get(b"payload", b""), published_at)


def _entries(answer: Any) -> list[Entry]:  # noqa: ANN401 - as the library gives it
    return [entry for _stream, entries in answer or [] for entry in entries]


def _order(number: str | bytes) -> tuple[int, int]:
    text = number.decode() if isinstance(number, bytes) else number
    time, _, count = text.partition("-")
    return int(time), int(count)
