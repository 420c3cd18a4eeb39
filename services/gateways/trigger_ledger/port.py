"""The trigger ledger: short-lived marks that trigger writes, precompute settles and retrieval waits on."""

from __future__ import annotations

from typing import Protocol

import msgspec

from contracts.ids import EventId, RequestId, UserId


class Announcement(msgspec.Struct, frozen=True, gc=False):
    """The one event that stands for a request; `published` once the stream has it."""

    event_id: EventId
    accepted_at: int
    published: bool


class TriggerLedger(Protocol):
    """Marks per user and request, gone after `ttl_s`.  Every call raises StoreDown, and nothing else."""

    async def announce(self, user: UserId, request: RequestId, event: EventId, accepted_at: int) -> Announcement:
        """Claim a request: the first caller's event and time stand, whoever asks again gets those.

        Marks the request as pending, and no more: a trigger whose event never reaches the stream must not
        make an older one count as superseded.
        """
        ...

    async def published(self, user: UserId, request: RequestId) -> None:
        """The stream has the event: a later announcement of the same request need not publish again.

        Marks the announced time and request as the user's newest trigger, unless a newer one is known.
        Nothing for a request that was not announced, or whose mark is gone.
        """
        ...

    async def newest(self, user: UserId) -> int | None:
        """Unix milliseconds of the user's newest published trigger."""
        ...

    async def settled(self, user: UserId, request: RequestId) -> None:
        """Nothing more will come of this request: computed, superseded or given up.  Wakes its waiters."""
        ...

    async def wait_settled(self, user: UserId, request: RequestId | None, timeout_s: float) -> None:
        """Return when the request (None: the user's newest) is settled or not pending, or at the timeout."""
        ...

    async def ping(self) -> None:
        """Raise StoreDown when the ledger cannot be used now."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...
