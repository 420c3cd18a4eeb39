"""The trigger ledger in this process: for tests, and the plain statement of what the one in Redis does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from contracts.ids import EventId, RequestId, UserId
from services.gateways.trigger_ledger.port import Announcement
from services.runtime.clock import Clock


@dataclass(slots=True)
class _Mark:
    """One announced request, and when its mark is gone (Unix ms)."""

    event_id: EventId
    accepted_at: int
    gone_at: int
    published: bool = False
    settled: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class _Newest:
    """A user's newest published trigger."""

    accepted_at: int
    request: RequestId
    gone_at: int


class MemoryTriggerLedger:
    """Keeps a mark per request and one per user."""

    def __init__(self, clock: Clock, *, ttl_s: float = 600.0) -> None:
        self._clock = clock
        self._ttl_ms = round(ttl_s * 1000)
        self._marks: dict[tuple[UserId, RequestId], _Mark] = {}
        self._newest: dict[UserId, _Newest] = {}

    async def announce(self, user: UserId, request: RequestId, event: EventId, accepted_at: int) -> Announcement:
        """See the port."""
        mark = self._mark(user, request)
        if mark is None:
            gone_at = self._clock.now_ms() + self._ttl_ms
            mark = self._marks[user, request] = _Mark(event, accepted_at, gone_at)
        return Announcement(mark.event_id, mark.accepted_at, mark.published)

    async def published(self, user: UserId, request: RequestId) -> None:
        """See the port."""
        mark = self._mark(user, request)
        if mark is None:
            return
        mark.published = True
        newest = self._living_newest(user)
        if newest is None or mark.accepted_at >= newest.accepted_at:
            self._newest[user] = _Newest(mark.accepted_at, request, self._clock.now_ms() + self._ttl_ms)

    async def newest(self, user: UserId) -> int | None:
        """See the port."""
        newest = self._living_newest(user)
        return newest.accepted_at if newest else None

    async def settled(self, user: UserId, request: RequestId) -> None:
        """See the port."""
        if mark := self._mark(user, request):
            mark.settled.set()

    async def wait_settled(self, user: UserId, request: RequestId | None, timeout_s: float) -> None:
        """See the port."""
        if request is None:
            newest = self._living_newest(user)
            request = newest.request if newest else None
        mark = self._mark(user, request) if request is not None else None
        if mark is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await mark.settled.wait()

    async def ping(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing to free."""

    def _mark(self, user: UserId, request: RequestId) -> _Mark | None:
        mark = self._marks.get((user, request))
        if mark is not None and mark.gone_at <= self._clock.now_ms():
            del self._marks[user, request]
            return None
        return mark

    def _living_newest(self, user: UserId) -> _Newest | None:
        newest = self._newest.get(user)
        if newest is not None and newest.gone_at <= self._clock.now_ms():
            del self._newest[user]
            return None
        return newest
