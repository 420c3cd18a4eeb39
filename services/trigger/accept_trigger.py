"""The use case behind `POST /trigger`: one event for one request, acknowledged by the stream.

Called by `api`.  Never computes a candidate and never waits for one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from contracts.errors import StoreDown
from contracts.ids import EventId, RequestId, UserId
from contracts.messages import Topic
from services.gateways.event_stream.port import EventPublisher
from services.gateways.trigger_ledger.port import Announcement, TriggerLedger
from services.runtime.clock import Clock
from services.runtime.tracing import traceparent
from services.trigger.asked import TriggerAsked, event_of

log = logging.getLogger(__name__)


class TriggerAccepted(msgspec.Struct, frozen=True, gc=False):
    """The event that stands for the request.  `accepted_at` is in Unix milliseconds.

    `duplicate`: an earlier call published it already.  `marked`: the ledger knows of it.
    """

    event_id: EventId
    request_id: RequestId
    user_id: UserId
    accepted_at: int
    duplicate: bool
    marked: bool


@dataclass(frozen=True, slots=True)
class AcceptTrigger:
    """Publish one trigger per (user, request), however often it is told.

    The ledger is a convenience (it tells waiters and drops duplicates): without it a trigger is accepted all
    the same, and precompute recognises a duplicate by the stored list's request.  Raises StreamDown.
    """

    ledger: TriggerLedger
    stream: EventPublisher
    clock: Clock
    new_event_id: Callable[[], EventId]

    async def __call__(self, asked: TriggerAsked) -> TriggerAccepted:
        """Return when the stream has the event."""
        own = Announcement(self.new_event_id(), self.clock.now_ms(), published=False)
        user, request = asked.user, asked.request
        if request is None:
            request = RequestId(own.event_id)
        claimed = await self._claim(user, request, own)
        standing = claimed or own
        event_id, accepted_at = standing.event_id, standing.accepted_at
        if standing.published:
            return TriggerAccepted(event_id, request, user, accepted_at, duplicate=True, marked=True)
        event = event_of(asked, request, event_id, accepted_at, traceparent())
        await self.stream.publish(Topic.TRIGGERS, user, event)
        marked = claimed is not None and await self._confirm(user, request)
        return TriggerAccepted(event_id, request, user, accepted_at, duplicate=False, marked=marked)

    async def _claim(self, user: UserId, request: RequestId, own: Announcement) -> Announcement | None:
        try:
            return await self.ledger.announce(user, request, own.event_id, own.accepted_at)
        except StoreDown as error:
            # Counted; a line per request would be a flood just when things are bad.
            log.debug("trigger accepted without the ledger: %s", error)
            return None

    async def _confirm(self, user: UserId, request: RequestId) -> bool:
        try:
            await self.ledger.published(user, request)
        except StoreDown as error:
            log.debug("a published trigger could not be marked so: %s", error)
            return False
        return True
