"""Who waits for which request in this process, and the one subscription that wakes them.

The ledger in Redis owns one.  While `listening` is false nobody is woken: waiters must look for themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from services.gateways.redis_link.subscription import Subscription
from services.gateways.redis_link.times import RedisTimes


class WakeUp:
    """Wakes local waiters by what is published on one channel: a name per message."""

    def __init__(self, url: str, channel: bytes, times: RedisTimes) -> None:
        self._subscription = Subscription.connect(url, channel, self._wake, times)
        self._waiters: dict[bytes, set[asyncio.Event]] = {}

    @property
    def listening(self) -> bool:
        """Whether a message published now would be heard."""
        return self._subscription.standing

    @contextmanager
    def waiting(self, name: bytes) -> Iterator[asyncio.Event]:
        """An event that is set when `name` is published."""
        self._subscription.begin()
        event = asyncio.Event()
        self._waiters.setdefault(name, set()).add(event)
        try:
            yield event
        finally:
            same = self._waiters[name]
            same.discard(event)
            if not same:
                del self._waiters[name]

    async def close(self) -> None:
        """End the subscription."""
        await self._subscription.close()

    def _wake(self, name: bytes) -> None:
        for event in self._waiters.get(name, ()):
            event.set()
