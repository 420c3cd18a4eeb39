"""kafka-python's group consumer behind two threads: one polls, one commits and looks things up.

`consumer` awaits it.  kafka-python drives its sockets on a thread of its own and lets other threads wait for results
there; a commit must not wait until a poll returns, hence the second thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState

from services.gateways.event_stream.kafka.book import Fetched
from services.gateways.event_stream.kafka.connecting import connected_consumer
from services.gateways.event_stream.kafka.log_edges import end_offsets, first_offsets
from services.gateways.event_stream.kafka.place import KafkaPlace

POLL_S = 0.25
COMMIT_S = 2.0
CLOSE_S = 2.0
FETCHED_AT_ONCE = 200
FETCH_BYTES = 4 * 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Polled:
    """What came, and what this member has; `generation` changes whenever the group hands out its partitions anew.

    `settled`: it is not just doing so.
    """

    messages: tuple[Fetched, ...]
    partitions: frozenset[int]
    generation: int
    settled: bool


@dataclass(frozen=True, slots=True)
class GroupTimes:
    """`session_s`: a member that is not heard of for so long is dead; brokers allow 6 s and more by default.

    `fetch_wait_s`: so long a broker holds a question for new messages open.  Apache Kafka answers as soon as there is
    one; brokers that look only now and then (the one of our tests does) are asked often enough this way.
    """

    session_s: float = 10.0
    heartbeat_s: float = 3.0
    fetch_wait_s: float = 0.05

    @property
    def rebalance_s(self) -> float:
        """How long a group may take to hand out its partitions: until it knows who is dead, and once more as long.

        kafka-python waits five minutes for a broker that has forgotten about it.
        """
        return 2.0 * self.session_s + 2.0


class Membership:
    """One stay in a group, from joining to leaving.

    All calls raise kafka-python's errors, and ConnectionError when it is over.
    """

    def __init__(self, topic: str, consumer: KafkaConsumer) -> None:
        self._topic = topic
        self._consumer = consumer
        # One thread each: kafka-python's own thread does the work, these wait for it.
        self._polls = ThreadPoolExecutor(1, thread_name_prefix="kafka-poll")
        self._calls = ThreadPoolExecutor(1, thread_name_prefix="kafka-commit")

    @classmethod
    async def begin(cls, place: KafkaPlace, topic: str, group: str, member: str, times: GroupTimes) -> Membership:
        """Connect; partitions come with later polls."""
        configs = {
            **place.configs(),
            "client_id": member,
            "group_id": group,
            "auto_offset_reset": "earliest",
            "partition_assignment_strategy": [CooperativeStickyAssignor],
            "session_timeout_ms": round(times.session_s * 1000),
            "heartbeat_interval_ms": round(times.heartbeat_s * 1000),
            "fetch_max_wait_ms": round(times.fetch_wait_s * 1000),
            "fetch_max_bytes": FETCH_BYTES,
            "max_poll_records": FETCHED_AT_ONCE,
        }
        return cls(topic, await asyncio.to_thread(connected_consumer, topic, configs, (topic,)))

    async def poll(self, *, paused: bool) -> Polled:
        """Wait a moment for messages, and keep the place in the group.  While `paused` none are fetched."""
        return await self._in(self._polls, self._poll, paused)

    async def commit(self, positions: Mapping[int, tuple[int, str]]) -> None:
        """Partition -> first unsettled offset and note."""
        offsets = {self._place(number): OffsetAndMetadata(low, note, -1) for number, (low, note) in positions.items()}
        await self._in(self._calls, self._consumer.commit, offsets, round(COMMIT_S * 1000))

    async def committed(self, partitions: frozenset[int]) -> dict[int, tuple[int, str]]:
        """What was committed last; the beginning of the log where nothing was."""
        return await self._in(self._calls, self._committed, partitions)

    async def log_ends(self) -> dict[int, int]:
        """The offset after the last message, for every partition of the topic."""
        return await self._in(self._calls, self._log_ends)

    async def end(self) -> None:
        """Leave the group, so that others get the partitions at once."""
        try:
            await self._in(self._calls, lambda: self._consumer.close(timeout_ms=round(CLOSE_S * 1000)))
        finally:
            self._polls.shutdown(wait=False)
            self._calls.shutdown(wait=False)

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)
        except RuntimeError as error:
            # The stay is over: one call ended it while another one was under way.
            raise ConnectionError("the connection's thread has ended") from error

    def _poll(self, paused: bool) -> Polled:
        mine = self._consumer.assignment()
        if paused:
            self._consumer.pause(*mine)
        elif self._consumer.paused():
            self._consumer.resume(*mine)
        found = self._consumer.poll(timeout_ms=round(POLL_S * 1000))
        messages = tuple(
            Fetched(record.partition, record.offset, record.key or b"", record.value or b"", record.timestamp)
            for records in found.values()
            for record in records
        )
        partitions = frozenset(one.partition for one in self._consumer.assignment())
        group = self._consumer.group_metadata()
        return Polled(messages, partitions, group.generation_id, group.state == MemberState.STABLE)

    def _committed(self, partitions: frozenset[int]) -> dict[int, tuple[int, str]]:
        found: dict[int, tuple[int, str]] = {}
        unknown = []
        for number in partitions:
            committed = self._consumer.committed(self._place(number), metadata=True, timeout_ms=round(COMMIT_S * 1000))
            if committed is None or committed.offset < 0:
                unknown.append(self._place(number))
            else:
                found[number] = (committed.offset, committed.metadata or "")
        if unknown:
            found |= {place.partition: (low, "") for place, low in first_offsets(self._consumer, unknown).items()}
        return found

    def _log_ends(self) -> dict[int, int]:
        numbers = self._consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise kafka_errors.UnknownTopicOrPartitionError(self._topic)
        places = [self._place(number) for number in numbers]
        return {place.partition: end for place, end in end_offsets(self._consumer, places).items()}

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)
