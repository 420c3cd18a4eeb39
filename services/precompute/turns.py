"""One at a time per user, in the order in which they came: what triggers tell of a user is remembered so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from contracts.ids import UserId


@dataclass(slots=True)
class Turns:
    """A lock per user, kept as long as somebody holds it or waits for it."""

    _locks: WeakValueDictionary[UserId, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def of(self, user: UserId) -> asyncio.Lock:
        """The user's lock; keep a reference to it while using it."""
        lock = self._locks.get(user)
        if lock is None:
            lock = asyncio.Lock()
            self._locks[user] = lock
        return lock
