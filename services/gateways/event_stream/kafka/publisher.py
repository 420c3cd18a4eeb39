"""Events to a Kafka cluster: gathered while the last request is under way, sent together, acknowledged one by one.

One request at a time per broker, so that one user's events keep their order without sequence numbers; what comes
meanwhile makes the next batch.  Holds at most so many events and bytes: above that a publication is refused at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from kafka import errors as kafka_errors

from contracts.errors import StreamDown
from services.gateways.event_stream.in_flight import InFlight
from services.gateways.event_stream.kafka.failing import down
from services.gateways.event_stream.kafka.leaders import Leaders
from services.gateways.event_stream.kafka.link import FAILURES, Batch, KafkaLink, Outcome
from services.gateways.event_stream.kafka.place import KafkaPlace
from services.gateways.event_stream.kafka.record_batch import OVERHEAD, RECORD_OVERHEAD, record_batch
from services.gateways.event_stream.murmur2 import partition_of
from services.runtime.clock import Clock

# Kafka's default for the largest batch is 1 MiB, `max.message.bytes`.
MOST_BATCH_BYTES = 1_048_000
MOST_REQUEST_BYTES = 4_000_000
# A second request right after the first would carry little: under load the pause lets a batch form.
LINGER_S = 0.002
# Between two tries of what a broker did not take.
RETRY_S = 0.02
# A broker that has answered nothing for so long gets one event per partition as a probe; others fail at once.
STUCK_S = 0.5


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """`within_s`: how long a publication may take.  The bounds hold for what is neither acknowledged nor given up."""

    within_s: float = 0.2
    most_events: int = 10_000
    most_bytes: int = 64 * 1024 * 1024


@dataclass(slots=True)
class _Entry:
    """One event on its way; when `settled` is done, nobody waits for it any more."""

    key: bytes
    payload: bytes
    size: int
    settled: asyncio.Future[None]


@dataclass(slots=True)
class _Sent:
    """A batch and what is in it."""

    batch: Batch
    entries: list[_Entry]

    def succeeded(self) -> None:
        for entry in self.entries:
            if not entry.settled.done():
                entry.settled.set_result(None)

    def failed(self, error: StreamDown) -> None:
        for entry in self.entries:
            if not entry.settled.done():
                entry.settled.set_exception(error)


@dataclass(slots=True)
class _Broker:
    """The one request under way to a broker; `silent_since_s`: since when none was answered, None if the last was."""

    sending: asyncio.Task[None] | None = None
    silent_since_s: float | None = None


class KafkaPublisher:
    """Belongs to one event loop."""

    def __init__(self, place: KafkaPlace, link: KafkaLink, clock: Clock, limits: PublishLimits) -> None:
        self._place = place
        self._link = link
        self._clock = clock
        self._limits = limits
        self._leaders = Leaders(link, self._leaders_changed)
        # Topic -> a queue per partition.
        self._queues: dict[str, list[deque[_Entry]]] = {}
        self._brokers: dict[int, _Broker] = {}
        self._deadlines: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._last_failure: BaseException = TimeoutError()
        self._batch_bytes = MOST_BATCH_BYTES
        self._in_flight = InFlight(limits.most_events, limits.most_bytes)

    @property
    def in_flight(self) -> int:
        """Events that are neither acknowledged nor given up."""
        return self._in_flight.events

    async def publish(self, topic: str, key: bytes, payload: bytes) -> None:
        """Return when the brokers have it.  Raises StreamDown, and StreamBusy above the bounds."""
        size = len(key) + len(payload) + RECORD_OVERHEAD
        if size + OVERHEAD > MOST_BATCH_BYTES:
            raise down(self._place, kafka_errors.MessageSizeTooLargeError())
        self._in_flight.begin(size)
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        try:
            leaders = self._leaders.of(topic, now_s) or await self._learn(topic)
            # No name holds the future here: its error would hold this frame, and with it the payload, in a cycle.
            await self._enqueue(topic, leaders, _Entry(key, payload, size, loop.create_future()), now_s)
        finally:
            self._in_flight.end(size)

    async def close(self) -> None:
        """Give up what waits."""
        running = [broker.sending for broker in self._brokers.values() if broker.sending is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._leaders.close()
        if self._timer is not None:
            self._timer.cancel()
        for _deadline_s, settled in self._deadlines:
            if not settled.done():
                settled.set_exception(down(self._place, ConnectionError()))

    async def _learn(self, topic: str) -> tuple[int, ...]:
        try:
            async with asyncio.timeout(self._limits.within_s):
                return await self._leaders.learn(topic)
        except TimeoutError as error:
            raise down(self._place, self._leaders.last_failure or error) from error
        except FAILURES as error:
            raise down(self._place, error) from error

    def _enqueue(self, topic: str, leaders: tuple[int, ...], entry: _Entry, now_s: float) -> asyncio.Future[None]:
        """What is done when the event is acknowledged, or given up."""
        queues = self._queues.get(topic)
        if queues is None or len(queues) < len(leaders):
            queues = self._more_queues(topic, len(leaders))
        partition = partition_of(entry.key, len(leaders))
        queue, leader = queues[partition], leaders[partition]
        broker = self._broker(leader)
        silent_since_s = broker.silent_since_s
        if silent_since_s is not None and queue and now_s - silent_since_s > STUCK_S:
            raise down(self._place, self._last_failure)
        queue.append(entry)
        if broker.sending is None:
            self._start(leader, broker)
        self._watch(entry.settled.get_loop(), now_s + self._limits.within_s, entry.settled)
        return entry.settled

    def _more_queues(self, topic: str, partitions: int) -> list[deque[_Entry]]:
        queues = self._queues.setdefault(topic, [])
        queues += [deque() for _ in range(partitions - len(queues))]
        return queues

    def _broker(self, node: int) -> _Broker:
        broker = self._brokers.get(node)
        if broker is None:
            broker = self._brokers[node] = _Broker()
        return broker

    def _start(self, node: int, broker: _Broker) -> None:
        # No leader: what waits is looked at when there is one.
        if node >= 0:
            broker.sending = asyncio.ensure_future(self._send_all(node, broker))

    def _leaders_changed(self, topic: str) -> None:
        for node in set(self._leaders.of(topic, 0.0) or ()):
            broker = self._broker(node)
            if broker.sending is None:
                self._start(node, broker)

    async def _send_all(self, node: int, broker: _Broker) -> None:
        """Send what waits for this broker, batch after batch, until nothing does."""
        loop = asyncio.get_running_loop()
        try:
            while sent := self._take(node):
                began_s = loop.time()
                broker.silent_since_s = broker.silent_since_s or began_s
                pause_s = RETRY_S
                try:
                    outcomes = await self._link.produce(node, [one.batch for one in sent])
                except FAILURES as error:
                    self._put_back(sent, error)
                else:
                    broker.silent_since_s = None
                    if self._settle(sent, outcomes):
                        pause_s = began_s + LINGER_S - loop.time()
                if pause_s > 0:
                    await asyncio.sleep(pause_s)
        finally:
            broker.sending = None

    def _take(self, node: int) -> list[_Sent]:
        """A batch for each partition that this broker leads and for which something waits."""
        sent: list[_Sent] = []
        room = MOST_REQUEST_BYTES
        now_ms = self._clock.now_ms()
        for topic, queues in self._queues.items():
            leaders = self._leaders.of(topic, 0.0) or ()
            for partition, leader in enumerate(leaders):
                if leader != node or partition >= len(queues) or not queues[partition] or room <= 0:
                    continue
                entries, size = self._first(queues[partition])
                if entries:
                    records = record_batch([(one.key, one.payload) for one in entries], now_ms)
                    sent.append(_Sent(Batch(topic, partition, records), entries))
                    room -= size
        return sent

    def _first(self, queue: deque[_Entry]) -> tuple[list[_Entry], int]:
        """As much as one batch takes, at least one; what nobody waits for any more is left out."""
        entries: list[_Entry] = []
        size = OVERHEAD
        while queue:
            entry = queue[0]
            if entry.settled.done():
                queue.popleft()
                continue
            if entries and size + entry.size > self._batch_bytes:
                break
            entries.append(queue.popleft())
            size += entry.size
        return entries, size

    def _settle(self, sent: list[_Sent], outcomes: list[Outcome]) -> bool:
        """Tell the publishers what became of their events; False where some have to be sent again."""
        again = False
        for one, outcome in zip(sent, outcomes, strict=True):
            if outcome is None:
                self._last_failure = TimeoutError()
                one.succeeded()
            elif outcome.retriable or outcome is kafka_errors.UnknownError or self._fits_smaller(one, outcome):
                # An error that the broker itself does not know may pass; the deadline ends the tries.
                self._put_back([one], outcome())
                again = True
            else:
                self._leaders.doubt(one.batch.topic)
                one.failed(down(self._place, outcome()))
        return not again

    def _fits_smaller(self, sent: _Sent, outcome: type[kafka_errors.KafkaError]) -> bool:
        """Whether smaller batches may be taken: these brokers' limit is below Kafka's default."""
        if not issubclass(outcome, kafka_errors.MessageSizeTooLargeError) or len(sent.entries) == 1:
            return False
        self._batch_bytes = max(self._batch_bytes // 2, OVERHEAD)
        return True

    def _put_back(self, sent: list[_Sent], error: BaseException) -> None:
        self._last_failure = error
        for one in sent:
            self._queues[one.batch.topic][one.batch.partition].extendleft(reversed(one.entries))
            self._leaders.doubt(one.batch.topic)

    def _watch(self, loop: asyncio.AbstractEventLoop, deadline_s: float, settled: asyncio.Future[None]) -> None:
        self._deadlines.append((deadline_s, settled))
        if self._timer is None:
            self._timer = loop.call_at(deadline_s, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up what is late, and drop what nobody waits for from the front of each queue: memory is bounded."""
        self._timer = None
        now_s = loop.time()
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now_s:
            _deadline_s, settled = deadlines.popleft()
            if not settled.done():
                settled.set_exception(down(self._place, self._last_failure))
        if deadlines:
            self._timer = loop.call_at(deadlines[0][0], self._expire, loop)
        for queues in self._queues.values():
            for queue in queues:
                while queue and queue[0].settled.done():
                    queue.popleft()
