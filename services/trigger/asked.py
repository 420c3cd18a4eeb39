"""A trigger as a caller tells it: read straight from a body by the fast way, or made from the slow way's model.

Structs, since one of each is made for every request.  The bounds are those of contracts/ids.py and messages.py.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from contracts.behaviors import Behavior
from contracts.ids import INT64_MAX, INT64_MIN, MAX_ID_CHARACTERS, MAX_SCENE_CHARACTERS, RequestId, UserId
from contracts.messages import MAX_RECENT

Item = Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX)]
TimeMs = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Word = Annotated[str, Meta(max_length=MAX_SCENE_CHARACTERS)]
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]


class RecentAsked(msgspec.Struct, frozen=True, gc=False):
    """One thing the user did."""

    item_id: Item
    behavior: Behavior
    timestamp: TimeMs


class ContextAsked(msgspec.Struct, frozen=True, gc=False):
    """Circumstances of the request."""

    device: Word | None = None


class TriggerAsked(msgspec.Struct, frozen=True, gc=False):
    """A user's request has begun; without `request_id` it gets one."""

    user_id: Id
    request_id: Id | None = None
    scene: Word | None = None
    recent: Annotated[tuple[RecentAsked, ...], Meta(max_length=MAX_RECENT)] = ()
    context: ContextAsked = ContextAsked()

    @property
    def user(self) -> UserId:
        """Whose request it is."""
        return UserId(self.user_id)

    @property
    def request(self) -> RequestId | None:
        """Which request it is."""
        return None if self.request_id is None else RequestId(self.request_id)


class _Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """contracts.messages.TriggerRequested, field by field."""

    version: int
    event_id: str
    user_id: str
    request_id: str
    accepted_at: int
    scene: str | None
    recent: tuple[RecentAsked, ...]
    context: ContextAsked
    traceparent: str | None = None


_write = msgspec.json.Encoder().encode


def event_of(
    asked: TriggerAsked, request_id: str, event_id: str, accepted_at: int, traceparent: str | None = None
) -> bytes:
    """The message for the topic `triggers`."""
    told = (asked.scene, asked.recent, asked.context, traceparent)
    return _write(_Event(1, event_id, asked.user_id, request_id, accepted_at, *told))
