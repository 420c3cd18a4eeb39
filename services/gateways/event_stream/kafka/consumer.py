"""One member of a consumer group on a Kafka topic; KafkaEventStream opens it.

A task of its own fetches, and keeps the place in the group for as long as somebody receives.  Whoever stops receiving
for `retry_after_s` has died as far as the group is concerned: it leaves, and joins again when it is heard of again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from kafka import errors as kafka_errors

from contracts.errors import StreamDown
from services.gateways.event_stream.dead_letter import dead_letter
from services.gateways.event_stream.kafka.book import PartitionBook
from services.gateways.event_stream.kafka.commits import Commits, Positions
from services.gateways.event_stream.kafka.desk import Desk, Handed, Receipt
from services.gateways.event_stream.kafka.failing import down, failing_as_stream_down
from services.gateways.event_stream.kafka.link import FAILURES
from services.gateways.event_stream.kafka.membership import GroupTimes, Membership, Polled
from services.gateways.event_stream.kafka.place import KafkaPlace
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import Delivery
from services.runtime.clock import Clock

MOST_HELD = 500
MOST_HELD_BYTES = 32 * 1024 * 1024
RECONNECT_S = 0.2
# A member that has just been opened gets so long to find the brokers before it counts as cut off.
CONNECT_WITHIN_S = 3.0
LEAVE_WITHIN_S = 3.0

Bury = Callable[[bytes, bytes], Awaitable[None]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seat:
    """Which member of which group on which topic."""

    topic: str
    group: str
    member: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a consumer is given by its stream."""

    place: KafkaPlace
    bury: Bury
    clock: Clock
    limits: StreamLimits
    times: GroupTimes
    random: Random


class KafkaConsumer:
    """Belongs to one event loop, which alone touches the desk."""

    def __init__(self, seat: Seat, around: Surroundings) -> None:
        self._seat = seat
        self._around = around
        self._desk = Desk(MOST_HELD, MOST_HELD_BYTES)
        self._commits = Commits(self._desk.positions, self._commit)
        self._membership: Membership | None = None
        self._generation = -1
        self._failure: BaseException | None = None
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._receiving = 0
        self._heard_s = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self._settled = True
        self._settled_s = 0.0
        self._closing_s: float | None = None

    async def receive(self, most: int, wait_s: float) -> list[Delivery]:
        """See the port."""
        self._receiving += 1
        try:
            return await self._receive(asyncio.get_running_loop(), most, wait_s)
        finally:
            self._receiving -= 1

    async def ack(self, delivery: Delivery) -> None:
        """See the port."""
        if not self._desk.settle(Receipt.read(delivery.receipt)):
            raise self._moved(delivery)
        with failing_as_stream_down(self._around.place):
            await self._commits.done()

    async def retry_later(self, delivery: Delivery) -> None:
        """See the port."""
        delay_s = self._around.limits.jittered_delay_s(self._around.random)
        due_s = asyncio.get_running_loop().time() + delay_s
        if not self._desk.give_back(Receipt.read(delivery.receipt), due_s):
            raise self._moved(delivery)
        self._news.set()

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """See the port."""
        letter = dead_letter(delivery, self._seat.group, reason, self._around.clock.now_ms())
        await self._around.bury(delivery.key.encode(), letter)
        await self.ack(delivery)

    async def lag(self) -> int:
        """See the port."""
        membership = await self._joined()
        with failing_as_stream_down(self._around.place):
            ends = await membership.log_ends()
            # Partitions may come and go while others are looked up: each counts once.
            mine = {number: end for number, end in ends.items() if number in self._desk.partitions}
            others = await membership.committed(frozenset(ends) - frozenset(mine))
        elsewhere = sum(PartitionBook.open(*others[number]).unsettled(ends[number]) for number in others)
        return elsewhere + self._desk.unsettled(mine)

    async def close(self) -> None:
        """See the port."""
        self._closing_s = asyncio.get_running_loop().time()
        self._wanted.set()
        if self._fetching is not None:
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self._leave()

    async def _receive(self, loop: asyncio.AbstractEventLoop, most: int, wait_s: float) -> list[Delivery]:
        deadline_s = loop.time() + wait_s
        while True:
            now_s = self._hear(loop)
            self._news.clear()
            handed = self._desk.hand_out(most, now_s, self._around.limits.retry_after_s)
            if handed:
                # The note tells the next owner that these were delivered once.
                self._commits.want()
                return [self._delivery(one) for one in handed]
            if now_s >= deadline_s:
                if self._failure is not None:
                    raise down(self._around.place, self._failure)
                return []
            await self._wait_for_news(min(deadline_s, self._desk.next_due_s() or deadline_s) - now_s)

    def _hear(self, loop: asyncio.AbstractEventLoop) -> float:
        """Note that somebody is there; the time now."""
        self._heard_s = loop.time()
        self._wanted.set()
        if self._fetching is None and self._closing_s is None:
            self._fetching = asyncio.ensure_future(self._fetch())
        return self._heard_s

    async def _wait_for_news(self, most_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.001, most_s)):
                await self._news.wait()

    async def _joined(self) -> Membership:
        loop = asyncio.get_running_loop()
        until_s = self._hear(loop) + CONNECT_WITHIN_S
        while self._membership is None:
            if self._failure is not None or loop.time() > until_s:
                raise down(self._around.place, self._failure or TimeoutError())
            self._news.clear()
            await self._wait_for_news(until_s - loop.time())
        return self._membership

    async def _fetch(self) -> None:
        """Join, poll, and join again after whatever went wrong, until closed."""
        loop = asyncio.get_running_loop()
        while not self._may_end(loop.time()):
            if self._receiving:
                self._heard_s = loop.time()
            elif self._settled and loop.time() - self._heard_s > self._around.limits.retry_after_s:
                # Cleared first: whoever comes back while we leave must not be missed.
                self._wanted.clear()
                await self._leave()
                await self._wanted.wait()
                continue
            try:
                if self._membership is None:
                    self._membership = await self._join()
                    self._settled_s = loop.time()
                await self._take_in(self._membership, await self._membership.poll(paused=self._desk.full))
                if self._settled:
                    self._settled_s = loop.time()
                elif loop.time() - self._settled_s > self._around.times.rebalance_s:
                    raise kafka_errors.RebalanceInProgressError("the group never finished handing out its partitions")
            except FAILURES as error:
                self._failure = error
                self._news.set()
                await self._leave()
                await asyncio.sleep(RECONNECT_S * (0.5 + self._around.random.random()))

    def _may_end(self, now_s: float) -> bool:
        """Whoever goes while the group hands out its partitions leaves it to find out; better to wait a moment."""
        return self._closing_s is not None and (self._settled or now_s > self._closing_s + LEAVE_WITHIN_S)

    async def _join(self) -> Membership:
        seat = self._seat
        membership = await Membership.begin(
            self._around.place,
            self._around.place.named(seat.topic),
            self._around.place.named(seat.group),
            seat.member,
            self._around.times,
        )
        self._failure = None
        self._news.set()
        return membership

    async def _take_in(self, membership: Membership, polled: Polled) -> None:
        self._desk.keep_only(set(polled.partitions))
        known = self._desk.partitions if polled.generation == self._generation else frozenset[int]()
        if unsure := polled.partitions - known:
            # Others may have had these until now, or have got on with them meanwhile.
            for number, (low, note) in (await membership.committed(unsure)).items():
                self._desk.open(number, low, note)
        self._generation = polled.generation
        self._settled = polled.settled
        for one in polled.messages:
            self._desk.take_in(one)
        if polled.messages:
            self._news.set()

    async def _commit(self, positions: Positions) -> None:
        if self._membership is None:
            raise ConnectionError("no member of the group now")
        await self._membership.commit(positions)

    async def _leave(self) -> None:
        membership = self._membership
        if membership is not None:
            if self._desk.partitions:
                with suppress(*FAILURES):
                    await self._commits.done()
            self._membership = None
            with suppress(*FAILURES):
                await membership.end()
        self._settled = True
        self._desk.keep_only(set())
        self._commits.forget()

    def _delivery(self, handed: Handed) -> Delivery:
        key = handed.key.decode(errors="backslashreplace")
        return Delivery(self._seat.topic, key, handed.payload, handed.attempt, str(handed.receipt), handed.published_at)

    def _moved(self, delivery: Delivery) -> StreamDown:
        _log.debug("settled too late", extra={"topic": delivery.topic, "receipt": delivery.receipt})
        return StreamDown(f"{self._around.place.shown}: another member has this message's partition now")
