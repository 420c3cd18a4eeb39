"""What travels on the topics, versioned: fields are added, never renamed or reused.

Writers are strict, readers ignore fields they do not know.  tests/contracts/golden holds one JSON per version.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.behaviors import Behavior, Level
from contracts.ids import (
    MAX_SCENE_CHARACTERS,
    EventIdField,
    ItemIdField,
    RequestIdField,
    TimestampMs,
    UserIdField,
)

# Whoever sends or receives messages mostly wants the name of their topic too.
from contracts.topics import Topic as Topic

MAX_RECENT = 1000


def _absent(value: object) -> bool:
    """Fields added later are written only where they say something: what is old stays byte for byte as it was."""
    return value is None


class Message(BaseModel):
    """A frozen record of something that happened."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RecentInteraction(Message):
    """One thing the user did, as a trigger tells it."""

    item_id: ItemIdField
    behavior: Behavior
    timestamp: TimestampMs


class RequestContext(Message):
    """Circumstances of a request that the prompt may use; what is unknown stays None."""

    device: str | None = Field(default=None, max_length=MAX_SCENE_CHARACTERS)


class TriggerRequested(Message):
    """Topic `triggers`: a user's request has begun, candidates are wanted."""

    version: Literal[1] = 1
    event_id: EventIdField
    user_id: UserIdField
    request_id: RequestIdField
    accepted_at: TimestampMs
    scene: str | None = Field(default=None, max_length=MAX_SCENE_CHARACTERS)
    recent: tuple[RecentInteraction, ...] = Field(default=(), max_length=MAX_RECENT)
    context: RequestContext = RequestContext()
    traceparent: str | None = Field(default=None, exclude_if=_absent)
    """The trace that this request belongs to (W3C Trace Context)."""


class InteractionRecorded(Message):
    """Topic `interactions`: a user did something with an item."""

    version: Literal[1] = 1
    event_id: EventIdField
    user_id: UserIdField
    item_id: ItemIdField
    behavior: Behavior
    timestamp: TimestampMs
    request_id: RequestIdField | None = None
    position: int | None = Field(default=None, strict=True, ge=0, lt=2**31)
    scene: str | None = Field(default=None, max_length=MAX_SCENE_CHARACTERS)


class CandidatesComputed(Message):
    """Topic `candidates`: what was computed for which request; pseudo-exposures come from it."""

    version: Literal[1] = 1
    event_id: EventIdField
    user_id: UserIdField
    request_id: RequestIdField
    triggered_at: TimestampMs
    generated_at: TimestampMs
    model_version: str
    catalog_version: str
    item_ids: tuple[ItemIdField, ...]
    stages_ms: dict[str, float] = {}
    """How long each part took: stream, waiting (where it had to, for a place), prompt, the engine's stages, store."""


class SessionSampled(Message):
    """Topic `samples`: one request of a user's, and what came of the items in it; docs/freshness.md has the rules.

    (`sample_id`, `revision`) is its identity: with equal ones it is the same message.  A higher revision replaces
    the lower ones: a purchase was told after the session had been closed.
    """

    version: Literal[1] = 1
    sample_id: EventIdField
    """The same for the same session, whoever joins it."""
    revision: int = Field(strict=True, ge=0)
    user_id: UserIdField
    request_id: RequestIdField | None = None
    """None: a run of events that named no request."""
    requested_at: TimestampMs
    newest_event_at: TimestampMs
    """The newest interaction that counted."""
    scene: str | None = Field(default=None, max_length=MAX_SCENE_CHARACTERS)
    device: str | None = Field(default=None, max_length=MAX_SCENE_CHARACTERS)
    item_ids: tuple[ItemIdField, ...] = Field(min_length=1)
    """Distinct; what happened first stands first, pseudo-exposures last, best rank first."""
    levels: tuple[Level, ...]
    """The strongest that each item got."""
    history_item_ids: tuple[ItemIdField, ...]
    """What the user had done before the request, oldest first, repeats kept: enough for a prompt."""
    history_levels: tuple[Level, ...]
    model_version: str | None = None
    """Of the list that was computed for the request; None where none was."""
    catalog_version: str | None = None

    @model_validator(mode="after")
    def _columns_agree(self) -> Self:
        if len(self.levels) != len(self.item_ids) or len(self.history_levels) != len(self.history_item_ids):
            raise ValueError("items and levels differ in number")
        if len(set(self.item_ids)) < len(self.item_ids):
            raise ValueError("an item stands in it twice")
        return self


class DeadLetter(Message):
    """Topic `dead-letters`: a message that could not be processed, with the reason."""

    version: Literal[1] = 1
    topic: str
    group: str
    key: str
    payload: str
    reason: str
    attempts: int
    buried_at: TimestampMs
    payload_base64: str | None = Field(default=None, exclude_if=_absent)
    """The payload's bytes, where `payload` could not hold them as they were."""
