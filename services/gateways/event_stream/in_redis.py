"""The event stream on Redis Streams: one stream per topic, one Redis consumer group per group.

Mains build it.  Never in the hands of a verb: those see the port.  What it keeps, and for how long, is in
limits.py.
"""

from __future__ import annotations

import logging
from random import Random, SystemRandom
from typing import Any

from redis.asyncio import Redis

from contracts.errors import StreamDown
from contracts.messages import Topic
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.redis_consumer import BLOCK_S, PATIENCE_S, RedisConsumer, stream_key
from services.gateways.redis_link import RedisTimes, connect_redis, failing_as
from services.runtime.clock import Clock

# One look at a topic's length per so many of our own messages is enough to see it filling up.
_LOOK_EVERY = 1000
_NEARLY = 0.9

_log = logging.getLogger(__name__)


class RedisEventStream:
    """Keys `rankgr:stream:TOPIC`; entries have the fields `key` and `payload`."""

    def __init__(
        self, redis: Redis, url: str, clock: Clock, limits: StreamLimits, times: RedisTimes, random: Random
    ) -> None:
        self._redis = redis
        self._url = url
        self._clock = clock
        self._limits = limits
        self._times = times
        self._random = random
        self._published = 0

    @classmethod
    def connect(
        cls,
        url: str,
        clock: Clock,
        *,
        limits: StreamLimits | None = None,
        times: RedisTimes | None = None,
        random: Random | None = None,
    ) -> RedisEventStream:
        """A stream that connects on its first call."""
        times = times or RedisTimes()
        return cls(connect_redis(url, times), url, clock, limits or StreamLimits(), times, random or SystemRandom())

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        """See the port."""
        with failing_as(StreamDown, self._url):
            await self._redis.xadd(
                stream_key(topic),
                {"key": key, "payload": payload},
                maxlen=self._limits.keep_at_most,
                approximate=True,
            )
            self._published += 1
            if self._published % _LOOK_EVERY == 0:
                await self._look_at(topic)

    def consumer(self, topic: str, group: str, member: str) -> RedisConsumer:
        """See the port.  It has connections of its own, whose timeout allows for blocking reads and slow disks."""
        times = RedisTimes(
            connect_s=self._times.connect_s,
            answer_s=self._times.answer_s + BLOCK_S + PATIENCE_S,
            free_connection_s=self._times.free_connection_s + BLOCK_S,
            connections=self._times.connections,
        )
        redis = connect_redis(self._url, times)
        return RedisConsumer(redis, self._url, self._clock, self._limits, (topic, group, member), self._random)

    async def ping(self) -> None:
        """See the port."""
        with failing_as(StreamDown, self._url):
            await self._redis.ping()

    async def dead_letters(self, most: int) -> list[bytes]:
        """See the port."""
        with failing_as(StreamDown, self._url):
            entries: Any = await self._redis.xrevrange(stream_key(Topic.DEAD_LETTERS), count=most)
        return [fields[b"payload"] for _number, fields in reversed(entries or [])]

    async def close(self) -> None:
        """See the port."""
        await self._redis.aclose()

    async def _look_at(self, topic: str) -> None:
        length = await self._redis.xlen(stream_key(topic))
        if length > _NEARLY * self._limits.keep_at_most:
            _log.warning(
                "topic nearly full: its oldest messages will be lost, acknowledged or not",
                extra={"topic": topic, "length": length},
            )
