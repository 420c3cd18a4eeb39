"""Every event of a batch reaches the stream, or the caller is told."""

from __future__ import annotations

from random import Random

import pytest

from contracts.behaviors import Behavior
from contracts.errors import StreamDown
from contracts.ids import EventId, ItemId, RequestId, UserId
from contracts.messages import InteractionRecorded, Topic
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.runtime.clock import ManualClock
from services.runtime.event_ids import uuid7_ids
from services.trigger.accept_interactions import PUBLISHED_AT_ONCE, AcceptInteractions, InteractionTold


def told(item: int, event_id: str | None = None) -> InteractionTold:
    return InteractionTold(
        user_id=UserId(f"u{item % 3}"),
        item_id=ItemId(item),
        behavior=Behavior.CLICK,
        timestamp=1000 + item,
        event_id=None if event_id is None else EventId(event_id),
        request_id=RequestId("r"),
        position=item,
        scene="home",
    )


class FailingAt:
    """A publisher that is down for one item's event."""

    def __init__(self, item: int) -> None:
        self.item = item
        self.asked = 0

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        self.asked += 1
        if InteractionRecorded.model_validate_json(payload).item_id == self.item:
            raise StreamDown(f"no stream for {topic} {key}")


async def test_a_batch_larger_than_one_round_arrives_whole() -> None:
    clock = ManualClock()
    stream = MemoryEventStream(clock)
    count = 2 * PUBLISHED_AT_ONCE + 3
    accept = AcceptInteractions(stream, uuid7_ids(clock, Random(1)))
    assert await accept([told(item) for item in range(count)]) == count
    deliveries = await stream.consumer(Topic.INTERACTIONS, "test", "one").receive(count + 1, 0)
    events = [InteractionRecorded.model_validate_json(one.payload) for one in deliveries]
    assert [event.item_id for event in events] == list(range(count))
    assert [one.key for one in deliveries] == [event.user_id for event in events]
    assert len({event.event_id for event in events}) == count
    assert (events[5].timestamp, events[5].position, events[5].scene) == (1005, 5, "home")


async def test_an_event_id_that_the_caller_gave_is_kept() -> None:
    clock = ManualClock()
    stream = MemoryEventStream(clock)
    await AcceptInteractions(stream, uuid7_ids(clock, Random(1)))([told(1, "mine")])
    [delivery] = await stream.consumer(Topic.INTERACTIONS, "test", "one").receive(2, 0)
    assert InteractionRecorded.model_validate_json(delivery.payload).event_id == "mine"


async def test_a_stream_that_is_down_is_told_after_one_round() -> None:
    clock = ManualClock()
    stream = FailingAt(3)
    with pytest.raises(StreamDown):
        await AcceptInteractions(stream, uuid7_ids(clock, Random(1)))([told(item) for item in range(500)])
    assert stream.asked == PUBLISHED_AT_ONCE
