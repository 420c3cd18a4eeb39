"""One member of a consumer group on a Redis Stream; RedisEventStream opens it.

The group's memory of what is pending, and how often it was delivered, is the server's: a member keeps none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from contracts.errors import StreamDown
from contracts.messages import Topic
from services.gateways.event_stream.dead_letter import dead_letter
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import Delivery
from services.gateways.event_stream.redis_streams import BLOCK_S, TRIM, stream_key
from services.gateways.redis_link.failing import failing_as
from services.runtime.clock import Clock

_TRIM_EVERY = 1000
_RELEASE_AT_ONCE = 1000
_LOST_GROUP = ("NOGROUP", "UNBLOCKED")

T = TypeVar("T")

_log = logging.getLogger(__name__)


class RedisConsumer:
    """Reads new entries, claims those that are due again, and settles both."""

    def __init__(
        self,
        redis: Redis,
        url: str,
        clock: Clock,
        limits: StreamLimits,
        place: tuple[str, str, str],
        random: Random,
    ) -> None:
        self._redis = redis
        self._random = random
        self._url = url
        self._clock = clock
        self._limits = limits
        self._topic, self._group, self._member = place
        self._stream = stream_key(self._topic)
        self._retry_after_ms = round(limits.retry_after_s * 1000)
        # Not longer than what was given back has to wait.
        self._block_s = min(BLOCK_S, max(0.05, limits.retry_delay_s))
        self._trim = redis.register_script(TRIM)
        self._joined = False
        self._claim_from: bytes | str = "0-0"
        self._acked = 0

    async def receive(self, most: int, wait_s: float) -> list[Delivery]:
        """See the port."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            with failing_as(StreamDown, self._url):
                found = await self._in_group(partial(self._claim, most))
                room = most - len(found)
                left = deadline - loop.time()
                # Nothing in hand: wait for something new.  Something in hand: only look.
                block_s = min(left, self._block_s) if not found else 0.0
                if room:
                    found += await self._in_group(partial(self._read, room, block_s))
            if found or deadline <= loop.time():
                return found

    async def ack(self, delivery: Delivery) -> None:
        """See the port."""
        with failing_as(StreamDown, self._url):
            await self._redis.xack(self._stream, self._group, delivery.receipt)
            await self._trim_now_and_then()

    async def retry_later(self, delivery: Delivery) -> None:
        """See the port.  It stays pending, aged so that it is due after the retry delay."""
        age_ms = self._retry_after_ms - round(self._limits.jittered_delay_s(self._random) * 1000)
        with failing_as(StreamDown, self._url):
            await self._age([delivery.receipt], age_ms)

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """See the port."""
        letter = dead_letter(delivery, self._group, reason, self._clock.now_ms())
        with failing_as(StreamDown, self._url):
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.xadd(
                stream_key(Topic.DEAD_LETTERS),
                {"key": delivery.key, "payload": letter},
                maxlen=self._limits.keep_dead_letters,
                approximate=True,
            )
            pipeline.xack(self._stream, self._group, delivery.receipt)
            await pipeline.execute()

    async def lag(self) -> int:
        """See the port."""
        with failing_as(StreamDown, self._url):
            groups = await self._in_group(partial(self._redis.xinfo_groups, self._stream))
            for group in groups:
                if group["name"] == self._group.encode():
                    # The server cannot say what lies ahead after entries were deleted by hand; then all of it
                    # may.
                    ahead = group["lag"]
                    if ahead is None:
                        ahead = await self._redis.xlen(self._stream)
                    return int(ahead) + int(group["pending"])
            return int(await self._redis.xlen(self._stream))

    async def close(self) -> None:
        """See the port."""
        try:
            with failing_as(StreamDown, self._url):
                if self._joined:
                    await self._release()
        except StreamDown as error:
            _log.warning("left a group that could not be told", extra={"topic": self._topic, "reason": str(error)})
        finally:
            await self._redis.aclose()

    async def _in_group(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call in a group that exists: a server that lost it, or never had it, gets it from the beginning."""
        if self._joined:
            try:
                return await call()
            except ResponseError as error:
                if not str(error).startswith(_LOST_GROUP):
                    raise
                _log.warning("consumer group is gone, joining anew", extra={"topic": self._topic})
        await self._join()
        return await call()

    async def _join(self) -> None:
        try:
            await self._redis.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._joined = True
        self._claim_from = "0-0"

    async def _claim(self, most: int) -> list[Delivery]:
        """What is due again, of any member, counted as one more attempt."""
        answer: Any = await self._redis.xautoclaim(
            self._stream, self._group, self._member, self._retry_after_ms, self._claim_from, most
        )
        self._claim_from, entries, deleted = answer
        if deleted:
            _log.error(
                "messages were dropped before they were acknowledged: the topic is too short",
                extra={"topic": self._topic, "group": self._group, "messages": len(deleted)},
            )
        if not entries:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for number, _fields in entries:
            pipeline.xpending_range(self._stream, self._group, min=number, max=number, count=1)
        counted = await pipeline.execute()
        return [
            self._delivery(number, fields, pending[0]["times_delivered"] if pending else 1)
            for (number, fields), pending in zip(entries, counted, strict=True)
        ]

    async def _read(self, most: int, block_s: float) -> list[Delivery]:
        block_ms = max(1, round(block_s * 1000)) if block_s > 0 else None
        answer: Any = await self._redis.xreadgroup(
            self._group, self._member, {self._stream: ">"}, count=most, block=block_ms
        )
        return [self._delivery(number, fields, 1) for _stream, entries in answer or [] for number, fields in entries]

    def _delivery(self, number: bytes, fields: dict[bytes, bytes], attempt: int) -> Delivery:
        key = fields.get(b"key", b"").decode(errors="backslashreplace")
        receipt = number.decode()
        # The server numbers entries by its clock.
        published_at = int(receipt.partition("-")[0])
        return Delivery(self._topic, key, fields.get(b"payload", b""), attempt, receipt, published_at)

    async def _age(self, numbers: list[Any], age_ms: int) -> None:
        """Let these look as if delivered `age_ms` ago; JUSTID leaves their attempts uncounted."""
        await self._redis.xclaim(self._stream, self._group, self._member, 0, numbers, idle=age_ms, justid=True)

    async def _release(self) -> None:
        """Make what this member holds due at once; forget the member only if it holds nothing."""
        held = await self._redis.xpending_range(
            self._stream, self._group, min="-", max="+", count=_RELEASE_AT_ONCE, consumername=self._member
        )
        if held:
            await self._age([entry["message_id"] for entry in held], self._retry_after_ms)
        else:
            await self._redis.xgroup_delconsumer(self._stream, self._group, self._member)

    async def _trim_now_and_then(self) -> None:
        self._acked += 1
        if self._acked % _TRIM_EVERY == 0:
            await self._trim([self._stream], [self._limits.keep_acknowledged])
