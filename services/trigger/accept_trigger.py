"""The use case behind `POST /trigger`: one event for one request, acknowledged by the stream.

Called by `api`.  Never computes a candidate and never waits for one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from contracts.errors import StoreDown
from contracts.ids import EventId, RequestId, UserId
from contracts.messages import RecentInteraction, RequestContext, Topic, TriggerRequested
from services.gateways.event_stream.port import EventPublisher
from services.gateways.trigger_ledger.port import Announcement, TriggerLedger
from services.runtime.clock import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TriggerAsked:
    """A user's request as the recommendation engine tells it; without `request_id` it gets one."""

    user_id: UserId
    request_id: RequestId | None = None
    scene: str | None = None
    recent: tuple[RecentInteraction, ...] = ()
    context: RequestContext = field(default_factory=RequestContext)


@dataclass(frozen=True, slots=True)
class TriggerAccepted:
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
        own = Announcement(event_id=self.new_event_id(), accepted_at=self.clock.now_ms(), published=False)
        request_id = asked.request_id if asked.request_id is not None else RequestId(own.event_id)
        claimed = await self._claim(asked.user_id, request_id, own)
        standing = claimed or own
        accepted = TriggerAccepted(
            event_id=standing.event_id,
            request_id=request_id,
            user_id=asked.user_id,
            accepted_at=standing.accepted_at,
            duplicate=standing.published,
            marked=claimed is not None,
        )
        if standing.published:
            return accepted
        event = TriggerRequested(
            event_id=standing.event_id,
            user_id=asked.user_id,
            request_id=request_id,
            accepted_at=standing.accepted_at,
            scene=asked.scene,
            recent=asked.recent,
            context=asked.context,
        )
        await self.stream.publish(Topic.TRIGGERS, asked.user_id, event.model_dump_json().encode())
        if claimed is None:
            return accepted
        return replace(accepted, marked=await self._confirm(asked.user_id, request_id))

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
