"""The loop of every consumer: receive, take effect, acknowledge; poison is buried, an outage waited out.

Consumers' main files run it beside their HTTP face.  Never acknowledges before the effect, never dies of one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from random import Random
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry

from contracts.errors import RankGRError, StreamDown
from services.runtime.clock import Clock
from services.runtime.telemetry import counter, gauge, histogram

RECEIVE_WAIT_S = 0.5
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
LAG_EVERY_S = 5.0

_log = logging.getLogger(__name__)


class Received(Protocol):
    """What the loop reads of a delivery; `attempt` counts from 1, `published_at` is in Unix ms, 0 for unknown."""

    @property
    def topic(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def published_at(self) -> int: ...


D = TypeVar("D", bound=Received)


class Source(Protocol[D]):
    """A member of a consumer group, as services/gateways/event_stream/port.py promises it."""

    async def receive(self, most: int, wait_s: float) -> list[D]: ...
    async def ack(self, delivery: D) -> None: ...
    async def retry_later(self, delivery: D) -> None: ...
    async def bury(self, delivery: D, reason: str) -> None: ...
    async def lag(self) -> int: ...


class ConsumeMetrics:
    """What one consumer group does; one object per registry, shared by its groups."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("topic", "group")
        self.settled = counter(
            registry,
            "rankgr_stream_deliveries",
            "Deliveries by what became of them: acked, retried, buried, or unsettled (the stream was down).",
            (*labels, "outcome"),
        )
        self.seconds = histogram(registry, "rankgr_stream_effect_seconds", "Time of one delivery's effect.", labels)
        self.queued = histogram(
            registry, "rankgr_stream_queue_seconds", "Time from a message's publication to its first delivery.", labels
        )
        self.in_flight = gauge(registry, "rankgr_stream_in_flight", "Effects running now.", labels)
        self.lag = gauge(registry, "rankgr_stream_lag", "Messages that the group has not acknowledged.", labels)
        self.outages = counter(registry, "rankgr_stream_outages", "Calls to the event stream that failed.", labels)


@dataclass(frozen=True, slots=True)
class Watch:
    """Under which names a loop reports."""

    topic: str
    group: str
    metrics: ConsumeMetrics
    clock: Clock

    def begin(self) -> None:
        """Show that nothing was buried yet: an increase from nothing to one is none to whoever watches."""
        self.metrics.settled.labels(self.topic, self.group, "buried")


async def consume(  # noqa: PLR0913 - each is a decision of its own that only the caller can take
    consumer: Source[D],
    effect: Callable[[D], Awaitable[None]],
    *,
    concurrency: int,
    max_attempts: int,
    stop: asyncio.Event,
    random: Random,
    watch: Watch | None = None,
) -> None:
    """Run until `stop`, then finish what is in flight.

    At most `concurrency` effects run at once.  A retriable error gives the delivery back until its attempt
    reaches `max_attempts`, then buries it; one that says that nothing was tried gives it back at every attempt;
    any other RankGRError buries it at once.  An exception that is no RankGRError is a bug: it is logged with its
    trace and treated as retriable.  While the stream is down the loop pauses, 0.05 s doubling up to 2 s, half of
    it by chance (`random`).
    """
    await _Loop(consumer, effect, concurrency, max_attempts, random, watch).run(stop)


@dataclass(slots=True)
class _Loop(Generic[D]):
    consumer: Source[D]
    effect: Callable[[D], Awaitable[None]]
    concurrency: int
    max_attempts: int
    random: Random
    watch: Watch | None
    in_flight: set[asyncio.Task[None]] = field(default_factory=set)
    outages: int = 0
    lag_due: float = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        if self.watch is not None:
            self.watch.begin()
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                await self._step(stopping)
        finally:
            stopping.cancel()
            if self.in_flight:
                await asyncio.wait(self.in_flight)

    async def _step(self, stopping: asyncio.Future[Any]) -> None:
        room = self.concurrency - len(self.in_flight)
        if room < 1:
            await asyncio.wait([stopping, *self.in_flight], return_when=asyncio.FIRST_COMPLETED)
            return
        try:
            await self._note_lag()
            # Short waits instead of cancelling a receive: that could strand what it had just been given.
            deliveries = await self.consumer.receive(room, RECEIVE_WAIT_S)
        except StreamDown as error:
            await self._pause(error, stopping)
            return
        self.outages = 0
        for delivery in deliveries:
            task = asyncio.ensure_future(self._settle(delivery))
            self.in_flight.add(task)
            task.add_done_callback(self.in_flight.discard)
            self._note_in_flight()
            task.add_done_callback(lambda _task: self._note_in_flight())

    async def _pause(self, error: StreamDown, stopping: asyncio.Future[Any]) -> None:
        if self.outages == 0:
            _log.warning("event stream down", extra={"reason": str(error)})
        self._note_outage()
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.outages, 10))
        self.outages += 1
        await asyncio.wait([stopping], timeout=pause_s * (0.5 + 0.5 * self.random.random()))

    async def _settle(self, delivery: D) -> None:
        """Let one delivery take effect and tell the stream; what it does not hear, it delivers again."""
        began = perf_counter()
        self._note_queued(delivery)
        reason, attempts = await self._failure_of(delivery)
        self._note_effect(perf_counter() - began)
        try:
            if reason is None:
                await self.consumer.ack(delivery)
                self._note_settled("acked")
            elif delivery.attempt >= attempts:
                await self.consumer.bury(delivery, reason)
                self._note_settled("buried")
                _log.warning("buried", extra=_about(delivery, reason))
            else:
                await self.consumer.retry_later(delivery)
                self._note_settled("retried")
        except StreamDown as error:
            self._note_outage()
            self._note_settled("unsettled")
            _log.warning("not settled", extra=_about(delivery, str(error)))

    async def _failure_of(self, delivery: D) -> tuple[str | None, float]:
        """Why the effect failed (None: it did not), and how many attempts such a failure is worth."""
        try:
            await self.effect(delivery)
        except RankGRError as error:
            return f"{type(error).__name__}: {error}", self._worth(error)
        except Exception as error:  # noqa: BLE001 - a bug in one effect must not stop the others; it is logged and counted
            _log.exception("effect failed unexpectedly", extra=_about(delivery, type(error).__name__))
            return f"unexpected {type(error).__name__}", self.max_attempts
        return None, 0

    def _worth(self, error: RankGRError) -> float:
        if not error.retriable:
            return 0
        return self.max_attempts if error.tried else inf

    async def _note_lag(self) -> None:
        now = perf_counter()
        if self.watch is None or now < self.lag_due:
            return
        self.lag_due = now + LAG_EVERY_S
        lag = await self.consumer.lag()
        self.watch.metrics.lag.labels(self.watch.topic, self.watch.group).set(lag)

    def _note_queued(self, delivery: D) -> None:
        if self.watch is not None and delivery.attempt == 1 and delivery.published_at:
            # The stream's clock may be ahead of ours.
            waited_ms = max(0, self.watch.clock.now_ms() - delivery.published_at)
            self.watch.metrics.queued.labels(self.watch.topic, self.watch.group).observe(waited_ms / 1000)

    def _note_in_flight(self) -> None:
        if self.watch is not None:
            gauge_of = self.watch.metrics.in_flight.labels(self.watch.topic, self.watch.group)
            gauge_of.set(len(self.in_flight))

    def _note_outage(self) -> None:
        if self.watch is not None:
            self.watch.metrics.outages.labels(self.watch.topic, self.watch.group).inc()

    def _note_settled(self, outcome: str) -> None:
        if self.watch is not None:
            self.watch.metrics.settled.labels(self.watch.topic, self.watch.group, outcome).inc()

    def _note_effect(self, seconds: float) -> None:
        if self.watch is not None:
            self.watch.metrics.seconds.labels(self.watch.topic, self.watch.group).observe(seconds)


def _about(delivery: Received, reason: str) -> dict[str, object]:
    return {
        "topic": delivery.topic,
        "key": delivery.key,
        "attempt": delivery.attempt,
        "reason": reason,
    }
