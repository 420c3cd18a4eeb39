"""Interactions as they come off the stream: each remembered once, in any order, poison buried."""

from __future__ import annotations

import asyncio
from random import Random

from prometheus_client import CollectorRegistry, generate_latest

from contracts.behaviors import Behavior
from contracts.errors import StoreDown
from contracts.ids import EventId, ItemId, UserId
from contracts.messages import DeadLetter, InteractionRecorded, Topic
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.history.in_memory import MemoryHistoryStore
from services.history.consumer import GROUP, ConsumeInteractions
from services.history.metrics import HistoryMetrics
from services.history.remember_interactions import RememberInteractions
from services.runtime.clock import ManualClock
from services.runtime.consume import consume

USER = UserId("u")


def interaction(item: int, timestamp: int, behavior: Behavior = Behavior.CLICK) -> bytes:
    event = InteractionRecorded(
        event_id=EventId(f"e-{item}"),
        user_id=USER,
        item_id=ItemId(item),
        behavior=behavior,
        timestamp=timestamp,
    )
    return event.model_dump_json().encode()


class FlakyHistories(MemoryHistoryStore):
    """A history store that is down for its first calls."""

    down_for = 0

    async def remember(self, user: UserId, interactions: object) -> None:
        if self.down_for > 0:
            self.down_for -= 1
            raise StoreDown(f"no store for {user}")
        assert isinstance(interactions, list)
        await super().remember(user, interactions)


class Consuming:
    """The process's loop on memory adapters."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.stream = MemoryEventStream(self.clock, StreamLimits(retry_after_s=15, retry_delay_s=0))
        self.histories = FlakyHistories(self.clock)
        self.registry = CollectorRegistry()
        self.effect = ConsumeInteractions(RememberInteractions(self.histories), HistoryMetrics(self.registry))

    async def run(self, *payloads: bytes) -> list[tuple[int, str]]:
        for payload in payloads:
            await self.stream.publish(Topic.INTERACTIONS, USER, payload)
        consumer = self.stream.consumer(Topic.INTERACTIONS, GROUP, "one")
        stop = asyncio.Event()
        loop = asyncio.ensure_future(
            consume(consumer, self.effect, concurrency=4, max_attempts=5, stop=stop, random=Random(1))
        )
        for _ in range(2000):
            if await consumer.lag() == 0:
                break
            await asyncio.sleep(0.001)
        stop.set()
        await loop
        return [(one.item_id, one.behavior.value) for one in await self.histories.recent(USER)]


async def test_interactions_enter_the_history_sorted_by_time_and_once() -> None:
    consuming = Consuming()
    payloads = [
        interaction(3, 300),
        interaction(1, 100),
        interaction(2, 200, Behavior.CART),
        interaction(1, 100),
    ]
    assert await consuming.run(*payloads) == [(1, "click"), (2, "cart"), (3, "click")]
    metrics = generate_latest(consuming.registry).decode()
    assert 'rankgr_history_interactions_total{behavior="click"} 3.0' in metrics


async def test_a_store_that_is_down_for_a_while_loses_nothing() -> None:
    consuming = Consuming()
    consuming.histories.down_for = 3
    assert await consuming.run(interaction(1, 100)) == [(1, "click")]
    assert await consuming.stream.dead_letters(5) == []


async def test_poison_is_buried_and_the_stream_moves_on() -> None:
    consuming = Consuming()
    assert await consuming.run(b"{}", interaction(1, 100)) == [(1, "click")]
    [letter] = [DeadLetter.model_validate_json(one) for one in await consuming.stream.dead_letters(5)]
    assert letter.reason.startswith("BadMessage: no interaction: event_id")
    assert letter.payload == "{}"
