"""The use case behind `POST /interactions`: what users did, as events on the stream.

Called by `api`.  Never touches a history: the history process does, from the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.behaviors import Behavior
from contracts.ids import EventId, ItemId, RequestId, UserId
from contracts.messages import InteractionRecorded, Topic
from services.gateways.event_stream.port import EventPublisher

# Enough to hide a round trip per event; few enough that a stream which is down is noticed after one round.
PUBLISHED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class InteractionTold:
    """One thing a user did; without `event_id` it gets one.  `timestamp` is in Unix milliseconds."""

    user_id: UserId
    item_id: ItemId
    behavior: Behavior
    timestamp: int
    event_id: EventId | None = None
    request_id: RequestId | None = None
    position: int | None = None
    scene: str | None = None


@dataclass(frozen=True, slots=True)
class AcceptInteractions:
    """Publish every event of a batch.

    Raises StreamDown when one of them was not acknowledged; the caller then sends the batch again, which is
    safe: a history knows an interaction by (item, behaviour, timestamp).
    """

    stream: EventPublisher
    new_event_id: Callable[[], EventId]

    async def __call__(self, told: Sequence[InteractionTold]) -> int:
        """How many were accepted: all of them."""
        for start in range(0, len(told), PUBLISHED_AT_ONCE):
            attempts = await asyncio.gather(
                *(self._publish(one) for one in told[start : start + PUBLISHED_AT_ONCE]),
                return_exceptions=True,
            )
            for failure in attempts:
                if failure is not None:
                    raise failure
        return len(told)

    async def _publish(self, told: InteractionTold) -> None:
        event = InteractionRecorded(
            event_id=told.event_id or self.new_event_id(),
            user_id=told.user_id,
            item_id=told.item_id,
            behavior=told.behavior,
            timestamp=told.timestamp,
            request_id=told.request_id,
            position=told.position,
            scene=told.scene,
        )
        await self.stream.publish(Topic.INTERACTIONS, told.user_id, event.model_dump_json().encode())
