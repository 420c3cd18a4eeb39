"""Who waits for which request in this process, and the one subscription that wakes them.

The ledger in Redis owns one.  While `listening` is false nobody is woken: waiters must look for themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis

from services.gateways.redis_link import REDIS_ERRORS

_RECONNECT_S = 0.1

_log = logging.getLogger(__name__)


class WakeUp:
    """Wakes local waiters by what is published on one channel: a name per message."""

    def __init__(self, redis: Redis, channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()

    @property
    def listening(self) -> bool:
        """Whether a message published now would be heard."""
        return self._subscribed.is_set()

    @contextmanager
    def waiting(self, name: str) -> Iterator[asyncio.Event]:
        """An event that is set when `name` is published."""
        if self._listener is None:
            self._listener = asyncio.ensure_future(self._listen())
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
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
            self._listener = None

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except REDIS_ERRORS as error:
                _log.warning("wake-ups lost, subscribing again", extra={"reason": type(error).__name__})
            finally:
                self._subscribed.clear()
            await asyncio.sleep(_RECONNECT_S)

    async def _hear(self) -> None:
        async with self._redis.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            while True:
                message = await subscription.get_message(timeout=None)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._subscribed.set()
                elif message["type"] == "message":
                    for event in self._waiters.get(message["data"].decode(), ()):
                        event.set()
