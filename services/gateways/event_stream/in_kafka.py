"""The event stream on Kafka: one topic per topic, one consumer group per group, keyed by user.

Mains build it.  Topics are made by `rankgr topics create` and never by accident.  The parts are in kafka/.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random, SystemRandom

from contracts.messages import Topic
from services.gateways.event_stream.kafka.consumer import KafkaConsumer, Seat, Surroundings
from services.gateways.event_stream.kafka.failing import down, failing_as_stream_down
from services.gateways.event_stream.kafka.link import KafkaLink
from services.gateways.event_stream.kafka.membership import GroupTimes
from services.gateways.event_stream.kafka.newest import newest_messages
from services.gateways.event_stream.kafka.place import KafkaPlace
from services.gateways.event_stream.kafka.publisher import KafkaPublisher, PublishLimits
from services.gateways.event_stream.kafka.reader import KafkaReader
from services.gateways.event_stream.limits import StreamLimits
from services.runtime.clock import Clock

# A request that a broker has not answered for so long is given up with its connection.
REQUEST_S = 1.5
PING_WITHIN_S = 0.5
BURY_WITHIN_S = 3.0
NEEDED = (Topic.TRIGGERS, Topic.INTERACTIONS, Topic.CANDIDATES, Topic.SAMPLES, Topic.DEAD_LETTERS)


class KafkaEventStream:
    """Connects on its first call."""

    def __init__(
        self,
        place: KafkaPlace,
        clock: Clock,
        *,
        limits: StreamLimits | None = None,
        publishing: PublishLimits | None = None,
        times: GroupTimes | None = None,
        random: Random | None = None,
    ) -> None:
        self._place = place
        self._link = KafkaLink(place, request_s=REQUEST_S)
        self._publisher = KafkaPublisher(place, self._link, clock, publishing or PublishLimits())
        # Nobody waits for a dead letter: it may take its time.
        self._burying = KafkaPublisher(place, self._link, clock, PublishLimits(within_s=BURY_WITHIN_S))
        self._around = Surroundings(
            place=place,
            bury=self._bury,
            clock=clock,
            limits=limits or StreamLimits(),
            times=times or GroupTimes(),
            random=random or SystemRandom(),
        )

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        """See the port.  Raises StreamBusy while too much is on its way."""
        await self._publisher.publish(self._place.named(topic), key.encode(), payload)

    def consumer(self, topic: str, group: str, member: str) -> KafkaConsumer:
        """See the port."""
        return KafkaConsumer(Seat(topic, group, member), self._around)

    def reader(self, topic: str, name: str, positions: Mapping[str, str]) -> KafkaReader:
        """See the port."""
        return KafkaReader(self._place, topic, name, positions, fetch_wait_s=self._around.times.fetch_wait_s)

    async def ping(self) -> None:
        """See the port.  A topic that is not there counts as a stream that cannot be used."""
        try:
            async with asyncio.timeout(PING_WITHIN_S):
                with failing_as_stream_down(self._place):
                    await self._link.leaders([self._place.named(topic) for topic in NEEDED])
        except TimeoutError as error:
            raise down(self._place, error) from error

    async def newest(self, topic: str, most: int) -> list[bytes]:
        """See the port."""
        with failing_as_stream_down(self._place):
            return await asyncio.to_thread(newest_messages, self._place, self._place.named(topic), most)

    async def dead_letters(self, most: int) -> list[bytes]:
        """See the port."""
        return await self.newest(Topic.DEAD_LETTERS, most)

    async def close(self) -> None:
        """See the port."""
        await self._publisher.close()
        await self._burying.close()
        await self._link.close()

    async def _bury(self, key: bytes, letter: bytes) -> None:
        await self._burying.publish(self._place.named(Topic.DEAD_LETTERS), key, letter)
