"""The event stream in this process: for tests, and the plain statement of what the others do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from contracts.errors import BadInput
from contracts.messages import Topic
from services.gateways.event_stream.dead_letter import dead_letter
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import NOTHING_PAUSED, Delivery, ReadBatch, ReadMessage
from services.runtime.clock import Clock

_PART = "0"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pending:
    """A message that a member holds; due again at `due_ms`."""

    member: str
    attempt: int
    due_ms: int


@dataclass(slots=True)
class _Group:
    """Where a group stands: the next message it has not been given, and what its members hold."""

    next_id: int = 0
    pending: dict[int, _Pending] = field(default_factory=dict)


@dataclass(slots=True)
class _Log:
    """One topic: messages by number, its groups, and whom to wake when one comes."""

    next_id: int = 0
    messages: dict[int, tuple[str, bytes, int]] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryEventStream:
    """Topics in dictionaries; what a group holds outlives its members, as on a server."""

    def __init__(self, clock: Clock, limits: StreamLimits | None = None, random: Random | None = None) -> None:
        self._clock = clock
        self._random = random or Random(0)
        self._limits = limits or StreamLimits()
        self._logs: dict[str, _Log] = {}

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        """See the port."""
        self._append(topic, key, payload)

    def consumer(self, topic: str, group: str, member: str) -> MemoryConsumer:
        """See the port."""
        return MemoryConsumer(self, topic, group, member)

    def reader(self, topic: str, name: str, positions: Mapping[str, str]) -> MemoryReader:
        """See the port."""
        return MemoryReader(self._log(topic), topic, name, positions.get(_PART, "0"))

    async def ping(self) -> None:
        """Always usable."""

    async def newest(self, topic: str, most: int) -> list[bytes]:
        """See the port."""
        found = [payload for _key, payload, _published_at in self._log(topic).messages.values()]
        return found[max(0, len(found) - most) :]

    async def dead_letters(self, most: int) -> list[bytes]:
        """See the port."""
        return await self.newest(Topic.DEAD_LETTERS, most)

    async def close(self) -> None:
        """Nothing to free."""

    def _log(self, topic: str) -> _Log:
        return self._logs.setdefault(topic, _Log())

    def _append(self, topic: str, key: str, payload: bytes) -> None:
        log = self._log(topic)
        log.messages[log.next_id] = (key, payload, self._clock.now_ms())
        log.next_id += 1
        most = self._limits.keep_dead_letters if topic == Topic.DEAD_LETTERS else self._limits.keep_at_most
        while len(log.messages) > most:
            del log.messages[next(iter(log.messages))]
        log.arrived.set()


class MemoryConsumer:
    """One member of one group."""

    def __init__(self, stream: MemoryEventStream, topic: str, group: str, member: str) -> None:
        self._stream = stream
        self._topic = topic
        self._group = group
        self._member = member
        self._log = stream._log(topic)
        self._place = self._log.groups.setdefault(group, _Group())

    async def receive(self, most: int, wait_s: float) -> list[Delivery]:
        """See the port."""
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            self._log.arrived.clear()
            if found := self._take(most):
                return found
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return []
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, self._until_due_s())):
                    await self._log.arrived.wait()

    async def ack(self, delivery: Delivery) -> None:
        """See the port."""
        self._place.pending.pop(int(delivery.receipt), None)

    async def retry_later(self, delivery: Delivery) -> None:
        """See the port."""
        if pending := self._place.pending.get(int(delivery.receipt)):
            delay_s = self._stream._limits.jittered_delay_s(self._stream._random)
            pending.due_ms = self._now_ms() + round(delay_s * 1000)

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """See the port."""
        letter = dead_letter(delivery, self._group, reason, self._now_ms())
        self._stream._append(Topic.DEAD_LETTERS, delivery.key, letter)
        await self.ack(delivery)

    async def lag(self) -> int:
        """See the port."""
        return sum(1 for number in self._log.messages if number >= self._place.next_id) + len(self._place.pending)

    async def close(self) -> None:
        """See the port."""
        for pending in self._place.pending.values():
            if pending.member == self._member:
                pending.due_ms = self._now_ms()
        self._log.arrived.set()

    def _take(self, most: int) -> list[Delivery]:
        now = self._now_ms()
        due = [number for number, pending in self._place.pending.items() if pending.due_ms <= now]
        numbers = [number for number in due if self._still_there(number)][:most]
        while len(numbers) < most and self._place.next_id < self._log.next_id:
            if self._place.next_id in self._log.messages:
                numbers.append(self._place.next_id)
            self._place.next_id += 1
        return [self._deliver(number, now) for number in numbers]

    def _still_there(self, number: int) -> bool:
        if number in self._log.messages:
            return True
        del self._place.pending[number]
        return False

    def _deliver(self, number: int, now: int) -> Delivery:
        before = self._place.pending.get(number)
        attempt = before.attempt + 1 if before else 1
        due_ms = now + round(self._stream._limits.retry_after_s * 1000)
        self._place.pending[number] = _Pending(self._member, attempt, due_ms)
        key, payload, published_at = self._log.messages[number]
        return Delivery(self._topic, key, payload, attempt, str(number), published_at)

    def _until_due_s(self) -> float:
        dues = [pending.due_ms for pending in self._place.pending.values()]
        # At least a millisecond, so that a clock that stands still is not asked in a busy loop.
        return max(0.001, (min(dues) - self._now_ms()) / 1000) if dues else float("inf")

    def _now_ms(self) -> int:
        return self._stream._clock.now_ms()


class MemoryReader:
    """A topic has one part here; a position is the number of the next message."""

    def __init__(self, log: _Log, topic: str, name: str, position: str) -> None:
        if not position.isdecimal():
            raise BadInput(f"no position of this stream: {position!r}")
        self._log = log
        self._topic = topic
        self._name = name
        self._next = int(position)

    async def parts(self) -> frozenset[str]:
        """See the port."""
        return frozenset({_PART})

    async def read(self, most: int, wait_s: float, paused: Collection[str] = NOTHING_PAUSED) -> ReadBatch:
        """See the port."""
        if _PART in paused:
            return ReadBatch([])
        self._log.arrived.clear()
        if self._next >= self._log.next_id and wait_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._log.arrived.wait()
        lost = max(0, next(iter(self._log.messages), self._next) - self._next)
        if lost:
            _log.warning("messages were dropped before they were read", extra={"topic": self._topic, "messages": lost})
            self._next += lost
        numbers = range(self._next, min(self._next + most, self._log.next_id))
        self._next = numbers.stop if numbers else self._next
        ended = frozenset({_PART}) if self._next >= self._log.next_id else NOTHING_PAUSED
        return ReadBatch([self._message(number) for number in numbers], ended, lost)

    async def keep(self, positions: Mapping[str, str]) -> None:
        """Nothing is dropped for having been read."""

    async def lag(self) -> int:
        """See the port."""
        return max(0, self._log.next_id - max(self._next, next(iter(self._log.messages), 0)))

    async def close(self) -> None:
        """Nothing to free."""

    def _message(self, number: int) -> ReadMessage:
        key, payload, published_at = self._log.messages[number]
        return ReadMessage(_PART, str(number + 1), key, payload, published_at)
