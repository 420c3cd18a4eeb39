"""One event per request, however often it is told, with the ledger and without."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest

from contracts.behaviors import Behavior
from contracts.errors import StoreDown, StreamDown
from contracts.ids import EventId, ItemId, RequestId, UserId
from contracts.messages import RecentInteraction, RequestContext, Topic, TriggerRequested
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.gateways.event_stream.port import EventPublisher
from services.gateways.trigger_ledger.in_memory import MemoryTriggerLedger
from services.gateways.trigger_ledger.port import Announcement, TriggerLedger
from services.runtime.clock import ManualClock
from services.runtime.event_ids import uuid7_ids
from services.trigger.accept_trigger import AcceptTrigger
from services.trigger.asked import ContextAsked, RecentAsked, TriggerAsked

USER = UserId("u")
REQUEST = RequestId("r-1")


@dataclass
class DownLedger:
    """A ledger whose server is gone."""

    async def announce(self, user: UserId, request: RequestId, event: EventId, accepted_at: int) -> Announcement:
        raise StoreDown(f"no ledger for {user} {request} {event} {accepted_at}")

    async def published(self, user: UserId, request: RequestId) -> None:
        raise StoreDown(f"no ledger for {user} {request}")

    async def newest(self, user: UserId) -> int | None:
        raise StoreDown(f"no ledger for {user}")

    async def settled(self, user: UserId, request: RequestId) -> None:
        raise StoreDown(f"no ledger for {user} {request}")

    async def wait_settled(self, user: UserId, request: RequestId | None, timeout_s: float) -> None:
        raise StoreDown(f"no ledger for {user} {request} within {timeout_s}")

    async def ping(self) -> None:
        raise StoreDown("no ledger")

    async def close(self) -> None:
        """Nothing to free."""


@dataclass
class BrokenPublisher:
    """A publisher that refuses until it is mended, and remembers what it took."""

    taken: list[bytes] = field(default_factory=list)
    down: bool = True

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        if self.down:
            raise StreamDown(f"no stream for {topic} {key}")
        self.taken.append(payload)


def accepting(ledger: TriggerLedger, stream: EventPublisher, clock: ManualClock) -> AcceptTrigger:
    return AcceptTrigger(ledger, stream, clock, uuid7_ids(clock, Random(7)))


async def published(stream: MemoryEventStream) -> list[TriggerRequested]:
    deliveries = await stream.consumer(Topic.TRIGGERS, "test", "one").receive(100, 0)
    return [TriggerRequested.model_validate_json(one.payload) for one in deliveries]


async def test_a_trigger_reaches_the_stream_with_all_that_was_told() -> None:
    clock = ManualClock()
    stream = MemoryEventStream(clock)
    recent = (RecentAsked(ItemId(7), Behavior.CLICK, 5),)
    context = ContextAsked("mobile")
    accepted = await accepting(MemoryTriggerLedger(clock), stream, clock)(
        TriggerAsked(USER, REQUEST, "home", recent, context)
    )
    [event] = await published(stream)
    assert event == TriggerRequested(
        event_id=accepted.event_id,
        user_id=USER,
        request_id=REQUEST,
        accepted_at=clock.now_ms(),
        scene="home",
        recent=(RecentInteraction(item_id=ItemId(7), behavior=Behavior.CLICK, timestamp=5),),
        context=RequestContext(device="mobile"),
    )
    assert accepted.marked
    assert not accepted.duplicate


async def test_a_trigger_without_a_request_id_gets_one_of_its_own() -> None:
    clock = ManualClock()
    accept = accepting(MemoryTriggerLedger(clock), MemoryEventStream(clock), clock)
    first, second = await accept(TriggerAsked(USER)), await accept(TriggerAsked(USER))
    assert first.request_id != second.request_id
    assert first.event_id != second.event_id


async def test_the_same_request_twice_is_one_event() -> None:
    clock = ManualClock()
    stream = MemoryEventStream(clock)
    accept = accepting(MemoryTriggerLedger(clock), stream, clock)
    first = await accept(TriggerAsked(USER, REQUEST))
    clock.advance(3)
    second = await accept(TriggerAsked(USER, REQUEST, "other"))
    assert (second.event_id, second.accepted_at) == (first.event_id, first.accepted_at)
    assert second.duplicate
    assert len(await published(stream)) == 1


async def test_the_same_request_id_of_two_users_is_two_events() -> None:
    clock = ManualClock()
    stream = MemoryEventStream(clock)
    accept = accepting(MemoryTriggerLedger(clock), stream, clock)
    await accept(TriggerAsked(USER, REQUEST))
    await accept(TriggerAsked(UserId("v"), REQUEST))
    assert {event.user_id for event in await published(stream)} == {"u", "v"}


async def test_a_publish_that_failed_is_made_up_for_by_the_next_call_with_the_same_event() -> None:
    clock = ManualClock()
    stream = BrokenPublisher()
    accept = accepting(MemoryTriggerLedger(clock), stream, clock)
    with pytest.raises(StreamDown):
        await accept(TriggerAsked(USER, REQUEST))
    stream.down = False
    clock.advance(1)
    again = await accept(TriggerAsked(USER, REQUEST))
    [event] = [TriggerRequested.model_validate_json(payload) for payload in stream.taken]
    assert event.event_id == again.event_id
    # The time of the first call stands, as its event does.
    assert event.accepted_at == clock.now_ms() - 1000
    assert not again.duplicate


async def test_a_publish_that_failed_leaves_the_trigger_before_it_the_newest() -> None:
    clock = ManualClock()
    stream = BrokenPublisher(down=False)
    ledger = MemoryTriggerLedger(clock)
    accept = accepting(ledger, stream, clock)
    first = await accept(TriggerAsked(USER, REQUEST))
    clock.advance(1)
    stream.down = True
    with pytest.raises(StreamDown):
        await accept(TriggerAsked(USER, RequestId("r-2")))
    assert await ledger.newest(USER) == first.accepted_at


async def test_without_the_ledger_a_trigger_is_accepted_all_the_same() -> None:
    clock = ManualClock()
    stream = MemoryEventStream(clock)
    accepted = await accepting(DownLedger(), stream, clock)(TriggerAsked(USER, REQUEST))
    assert not accepted.marked
    [event] = await published(stream)
    assert event.event_id == accepted.event_id
