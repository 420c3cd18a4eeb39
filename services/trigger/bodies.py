"""What the trigger service takes and answers over HTTP: strict where it reads, deaf to what it does not know.

Used by `api`; docs/http.md shows the same to people.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contracts.behaviors import Behavior
from contracts.ids import (
    MAX_SCENE_CHARACTERS,
    EventId,
    EventIdField,
    ItemIdField,
    RequestId,
    RequestIdField,
    TimestampMs,
    UserId,
    UserIdField,
)
from contracts.messages import MAX_RECENT, RecentInteraction, RequestContext
from services.trigger.accept_interactions import InteractionTold
from services.trigger.accept_trigger import TriggerAccepted
from services.trigger.asked import ContextAsked, RecentAsked, TriggerAsked

MAX_EVENTS = 1000

Scene = Annotated[str, Field(max_length=MAX_SCENE_CHARACTERS)]


class TriggerBody(BaseModel):
    """A user's request has begun.  `recent`: what the user just did, oldest first; it enters the history."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    user_id: UserIdField
    request_id: RequestIdField | None = None
    scene: Scene | None = None
    recent: tuple[RecentInteraction, ...] = Field(default=(), max_length=MAX_RECENT)
    context: RequestContext = RequestContext()

    def asked(self) -> TriggerAsked:
        """The same for the use case."""
        recent = tuple(RecentAsked(one.item_id, one.behavior, one.timestamp) for one in self.recent)
        return TriggerAsked(self.user_id, self.request_id, self.scene, recent, ContextAsked(self.context.device))


class TriggerAnswer(BaseModel):
    """The stream has the event."""

    event_id: EventId
    request_id: RequestId
    user_id: UserId
    accepted_at: int

    @classmethod
    def of(cls, accepted: TriggerAccepted) -> TriggerAnswer:
        """The same for the wire."""
        return cls(
            event_id=accepted.event_id,
            request_id=accepted.request_id,
            user_id=accepted.user_id,
            accepted_at=accepted.accepted_at,
        )


class InteractionBody(BaseModel):
    """Something a user did with an item."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_id: EventIdField | None = None
    user_id: UserIdField
    item_id: ItemIdField
    behavior: Behavior
    timestamp: TimestampMs
    request_id: RequestIdField | None = None
    position: int | None = Field(default=None, strict=True, ge=0, lt=2**31)
    scene: Scene | None = None

    def told(self) -> InteractionTold:
        """The same for the use case."""
        return InteractionTold(
            user_id=self.user_id,
            item_id=self.item_id,
            behavior=self.behavior,
            timestamp=self.timestamp,
            event_id=self.event_id,
            request_id=self.request_id,
            position=self.position,
            scene=self.scene,
        )


class InteractionsBody(BaseModel):
    """A batch: it is taken whole or, for one bad event, not at all."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    events: tuple[InteractionBody, ...] = Field(min_length=1, max_length=MAX_EVENTS)


class InteractionsAnswer(BaseModel):
    """How many events the stream has now: all of the batch."""

    accepted: int
