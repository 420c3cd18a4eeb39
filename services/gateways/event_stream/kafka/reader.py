"""One reader of a Kafka topic by its own positions; KafkaEventStream opens it.

Every partition is a part, a position is the offset of the next message.  kafka-python's consumer is used without a
group, on one thread of its own; after whatever goes wrong it is made anew where the reader stood.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from contracts.errors import BadInput
from services.gateways.event_stream.kafka.connecting import connected_consumer
from services.gateways.event_stream.kafka.failing import failing_as_stream_down
from services.gateways.event_stream.kafka.link import FAILURES
from services.gateways.event_stream.kafka.log_edges import end_offsets, first_offsets
from services.gateways.event_stream.kafka.place import KafkaPlace
from services.gateways.event_stream.port import NOTHING_PAUSED, ReadBatch, ReadMessage

FETCH_BYTES = 4 * 1024 * 1024
CLOSE_S = 2.0
# A topic that was given more partitions is noticed after this time.
LOOK_FOR_PARTITIONS_S = 60.0
# kafka-python says nothing when a broker is gone: a partition that brings nothing is asked for its end so often, and
# only an answer makes silence an end.
ASK_FOR_ENDS_S = 1.0
ANSWER_S = 2.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


class KafkaReader:
    """Connects on its first call."""

    def __init__(
        self, place: KafkaPlace, topic: str, name: str, positions: Mapping[str, str], *, fetch_wait_s: float
    ) -> None:
        self._place = place
        self._topic = place.named(topic)
        self._name = name
        self._fetch_wait_ms = round(fetch_wait_s * 1000)
        self._next = {_partition(part): _offset(position) for part, position in positions.items()}
        self._lost = 0
        self._consumer: KafkaConsumer | None = None
        self._all: frozenset[TopicPartition] = frozenset()
        self._ends: dict[int, int] = {}
        self._ends_asked_s = -ASK_FOR_ENDS_S
        # What a call read that was given up meanwhile: it was read, and not handed out.
        self._in_hand: ReadBatch | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-read")

    async def parts(self) -> frozenset[str]:
        """See the port."""
        return await self._on_thread(self._parts)

    async def read(self, most: int, wait_s: float, paused: Collection[str] = NOTHING_PAUSED) -> ReadBatch:
        """See the port."""
        batch = await self._on_thread(self._read, most, wait_s, frozenset(paused))
        self._in_hand = None
        return batch

    async def keep(self, positions: Mapping[str, str]) -> None:
        """Kafka keeps messages by their age, whoever has read them."""

    async def lag(self) -> int:
        """See the port."""
        return await self._on_thread(self._unread)

    async def close(self) -> None:
        """See the port."""
        with suppress(*FAILURES):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._shut)
        self._thread.shutdown(wait=False)

    async def _on_thread(self, work: Callable[..., T], *arguments: object) -> T:
        with failing_as_stream_down(self._place):
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work, *arguments)

    def _guarded(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            return work(*arguments)
        except (kafka_errors.KafkaError, OSError):
            # Also where the offset is out of range or the log was cut: opening looks at that.
            self._shut()
            raise
        except RuntimeError as error:
            self._shut()
            raise ConnectionError("the connection's thread has ended") from error

    def _parts(self) -> frozenset[str]:
        self._open()
        return frozenset(str(one.partition) for one in self._all)

    def _read(self, most: int, wait_s: float, paused: frozenset[str]) -> ReadBatch:
        if self._in_hand is not None:
            return self._in_hand
        consumer = self._open()
        reading = {one for one in self._all if str(one.partition) not in paused}
        if not reading:
            return ReadBatch([])
        # First what may fail: what was polled is as good as read.
        self._ask_for_ends(consumer, reading)
        if reading != consumer.assignment():
            # Not by pausing: kafka-python 3.0 may forget what it had fetched of a partition that was paused.
            consumer.assign(sorted(reading))
            for one in reading:
                consumer.seek(one, self._next[one.partition])
        found = consumer.poll(timeout_ms=round(wait_s * 1000), max_records=most)
        messages: list[ReadMessage] = []
        for partition, records in found.items():
            part = str(partition.partition)
            messages += [
                ReadMessage(
                    part,
                    str(record.offset + 1),
                    (record.key or b"").decode(errors="backslashreplace"),
                    record.value or b"",
                    record.timestamp,
                )
                for record in records
            ]
            self._next[partition.partition] = records[-1].offset + 1
        self._in_hand = ReadBatch(messages, self._ended(consumer, reading, frozenset(found)), self._lost)
        self._lost = 0
        return self._in_hand

    def _ask_for_ends(self, consumer: KafkaConsumer, reading: Collection[TopicPartition]) -> None:
        now_s = time.monotonic()
        if now_s - self._ends_asked_s >= ASK_FOR_ENDS_S:
            ends = end_offsets(consumer, reading, round(ANSWER_S * 1000))
            self._ends = {one.partition: end for one, end in ends.items()}
            self._ends_asked_s = now_s
            if beyond := {one: end for one, end in ends.items() if end < self._next[one.partition]}:
                raise kafka_errors.OffsetOutOfRangeError(beyond)

    def _ended(
        self, consumer: KafkaConsumer, reading: Collection[TopicPartition], brought: Collection[TopicPartition]
    ) -> frozenset[str]:
        """The parts of which everything has been handed out, as their brokers say."""
        ended = set()
        for one in reading:
            end = consumer.highwater(one) if one in brought else self._ends.get(one.partition)
            if end is not None and self._next[one.partition] >= end:
                ended.add(str(one.partition))
        return frozenset(ended)

    def _unread(self) -> int:
        consumer = self._open()
        ends = end_offsets(consumer, sorted(self._all))
        return sum(max(0, end - self._next[one.partition]) for one, end in ends.items())

    def _open(self) -> KafkaConsumer:
        """The consumer; our position is known in every partition that there is now."""
        consumer = self._consumer
        if consumer is None:
            configs = {
                **self._place.configs(),
                "group_id": None,
                "auto_offset_reset": "none",
                "fetch_max_wait_ms": self._fetch_wait_ms,
                "fetch_max_bytes": FETCH_BYTES,
                "metadata_max_age_ms": round(LOOK_FOR_PARTITIONS_S * 1000),
            }
            consumer = self._consumer = connected_consumer(self._topic, configs)
        partitions = consumer.partitions_for_topic(self._topic)
        if not partitions:
            raise kafka_errors.UnknownTopicOrPartitionError(self._topic)
        if partitions != {one.partition for one in self._all}:
            places = [TopicPartition(self._topic, number) for number in sorted(partitions)]
            first, last = first_offsets(consumer, places), end_offsets(consumer, places)
            for one in places:
                self._next[one.partition] = self._place_in(one.partition, first[one], last[one])
            self._all = frozenset(places)
        return consumer

    def _place_in(self, partition: int, first: int, last: int) -> int:
        """Where to read on in a partition that holds these offsets, the last one not included."""
        known = self._next.get(partition, first)
        if known > last:
            _log.warning("the topic was made anew: what was in it is gone", extra={"topic": self._topic})
            self._lost += 1
            known = first
        elif known < first:
            _log.warning(
                "messages were dropped before they were read: the topic is kept too short",
                extra={"topic": self._topic, "reader": self._name, "messages": first - known},
            )
            self._lost += first - known
            known = first
        return known

    def _shut(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._ends_asked_s = -ASK_FOR_ENDS_S
        self._all = frozenset()
        if consumer is not None:
            with suppress(*FAILURES):
                consumer.close(timeout_ms=round(CLOSE_S * 1000))


def _partition(part: str) -> int:
    if not part.isdecimal():
        raise BadInput(f"no part of this stream: {part!r}")
    return int(part)


def _offset(position: str) -> int:
    if not position.isdecimal():
        raise BadInput(f"no position of this stream: {position!r}")
    return int(position)
