"""The event stream on Redis Streams: one stream per topic, one Redis consumer group per group.

Mains build it.  Never in the hands of a verb: those see the port.  What it keeps, and for how long, is in
limits.py.  Publishing goes over a connection of ours; the redis library, which takes longer to import than all that a
publisher needs, is imported where somebody consumes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from random import Random, SystemRandom
from typing import Any

from contracts.errors import StreamDown
from contracts.messages import Topic
from services.gateways.event_stream.in_flight import InFlight
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import EventConsumer, EventReader
from services.gateways.event_stream.redis_streams import BLOCK_S, PATIENCE_S, stream_key
from services.gateways.redis_link import RedisTimes, place_of
from services.gateways.redis_link.link_errors import LinkFailed
from services.gateways.redis_link.mux import MuxRedis
from services.gateways.redis_link.resp import command, shape
from services.runtime.clock import Clock

# One look at a topic's length per so many of our own messages is enough to see it filling up.
_LOOK_EVERY = 1000
_NEARLY = 0.9

_log = logging.getLogger(__name__)


class RedisEventStream:
    """Keys `rankgr:stream:TOPIC`; entries have the fields `key` and `payload`."""

    def __init__(
        self,
        mux: MuxRedis,
        url: str,
        clock: Clock,
        limits: StreamLimits,
        times: RedisTimes,
        random: Random,
    ) -> None:
        self._mux = mux
        self._url = url
        self._clock = clock
        self._limits = limits
        self._times = times
        self._random = random
        self._in_flight = InFlight()
        self._published = 0
        self._adding: dict[str, bytes] = {}

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
        random = random or SystemRandom()
        mux = MuxRedis.connect(url, times, random=random)
        return cls(mux, url, clock, limits or StreamLimits(), times, random)

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        """See the port.  All publications of a moment go out together, on one connection."""
        place, user = stream_key(topic).encode(), key.encode()
        adding = self._adding.get(topic)
        if adding is None:
            most = b"%d" % self._limits.keep_at_most
            head = (b"XADD", place, b"MAXLEN", b"~", most, b"*", b"payload")
            adding = self._adding[topic] = shape(*head, open_parts=3)
        size = len(payload) + len(user)
        self._in_flight.begin(size)
        try:
            await self._mux.ask(place, adding % (len(payload), payload, 3, b"key", len(user), user))
        except LinkFailed as error:
            raise self._down(error) from error
        finally:
            self._in_flight.end(size)
        self._published += 1
        if self._published % _LOOK_EVERY == 0:
            await self._look_at(topic)

    def consumer(self, topic: str, group: str, member: str) -> EventConsumer:
        """See the port.  It has connections of its own, whose timeout allows for blocking reads and slow disks."""
        from services.gateways.event_stream.redis_consumer import RedisConsumer
        from services.gateways.redis_link.clients import connect_redis

        redis = connect_redis(self._url, self._patient())
        return RedisConsumer(redis, self._url, self._clock, self._limits, (topic, group, member), self._random)

    def reader(self, topic: str, name: str, positions: Mapping[str, str]) -> EventReader:
        """See the port.  Connections as a consumer's."""
        from services.gateways.event_stream.redis_reader import RedisReader
        from services.gateways.redis_link.clients import connect_redis

        redis = connect_redis(self._url, self._patient())
        return RedisReader(redis, self._url, self._limits, (topic, name), positions)

    async def ping(self) -> None:
        """See the port.  Asked where publications go: a breaker that is open counts."""
        try:
            await self._mux.ping()
        except LinkFailed as error:
            raise self._down(error) from error

    async def dead_letters(self, most: int) -> list[bytes]:
        """See the port."""
        return await self.newest(Topic.DEAD_LETTERS, most)

    async def newest(self, topic: str, most: int) -> list[bytes]:
        """See the port."""
        from services.gateways.redis_link.clients import connect_redis
        from services.gateways.redis_link.failing import failing_as

        # Not over the shared connection: so large an answer would be late there, and end it.
        with failing_as(StreamDown, self._url):
            async with connect_redis(self._url, self._times) as redis:
                entries: Any = await redis.xrevrange(stream_key(topic), count=most)
        return [fields[b"payload"] for _number, fields in reversed(entries or [])]

    async def close(self) -> None:
        """See the port."""
        await self._mux.close()

    def _patient(self) -> RedisTimes:
        return RedisTimes(
            connect_s=self._times.connect_s,
            answer_s=self._times.answer_s + BLOCK_S + PATIENCE_S,
            free_connection_s=self._times.free_connection_s + BLOCK_S,
            connections=self._times.connections,
        )

    async def _look_at(self, topic: str) -> None:
        place = stream_key(topic).encode()
        try:
            length: int = await self._mux.ask(place, command(b"XLEN", place))
        except LinkFailed:
            # The message is there; the next look is as good.
            return
        if length > _NEARLY * self._limits.keep_at_most:
            _log.warning(
                "topic nearly full: its oldest messages will be lost, acknowledged or not",
                extra={"topic": topic, "length": length},
            )

    def _down(self, error: LinkFailed) -> StreamDown:
        return StreamDown(f"redis at {place_of(self._url)}: {error}")
