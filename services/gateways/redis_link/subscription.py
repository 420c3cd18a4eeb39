"""What is published on one channel, heard over a connection of its own that is made again whenever it is lost.

The trigger ledger in Redis owns one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import SystemRandom
from typing import Any

import hiredis

from services.gateways.redis_link.dialer import Dialer
from services.gateways.redis_link.link_errors import LinkFailed, Reason
from services.gateways.redis_link.mux_node import Unwatched
from services.gateways.redis_link.node_maker import NodeMaker
from services.gateways.redis_link.resp import command
from services.gateways.redis_link.times import RedisTimes
from services.runtime.redis_url import parse_redis_url

# A server that vanished without a word is found out within about this time.
HEARTBEAT_S = 1.0
AGAIN_AFTER_S = 0.1

_log = logging.getLogger(__name__)


class Subscription:
    """Calls `hear` with each message on the channel while `standing`."""

    def __init__(self, dialer: Dialer, channel: bytes, hear: Callable[[bytes], None]) -> None:
        self._dialer = dialer
        self._channel = channel
        self._hear = hear
        self._listening: asyncio.Task[None] | None = None
        self._standing = False

    @classmethod
    def connect(cls, url: str, channel: bytes, hear: Callable[[bytes], None], times: RedisTimes) -> Subscription:
        """It connects when it begins.  On a cluster any node will do: all of them are told what is published."""
        make = NodeMaker(parse_redis_url(url), times, Unwatched(), SystemRandom())
        return cls(make.dialer(make.where()), channel, hear)

    @property
    def standing(self) -> bool:
        """Whether a message published now would be heard."""
        return self._standing

    def begin(self) -> None:
        """Listen from now on; nothing where it does already."""
        if self._listening is None:
            self._listening = asyncio.ensure_future(self._listen())

    async def close(self) -> None:
        """Listen no more."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        await self._dialer.where.close()

    async def _listen(self) -> None:
        while True:
            try:
                await self._stand()
            except LinkFailed as error:
                _log.debug("not subscribed: %s", error)
            if self._standing:
                self._standing = False
                _log.warning("subscription lost, subscribing again", extra={"channel": self._channel.decode()})
            await asyncio.sleep(AGAIN_AFTER_S)

    async def _stand(self) -> None:
        """Subscribe and stay until the connection is lost.  Raises LinkFailed."""
        lost = asyncio.Event()
        connection = await self._dialer.dial(_nothing, lambda _one, _why: lost.set(), lambda: _Overheard(self._hear))
        try:
            if isinstance(said := await connection.send(command(b"SUBSCRIBE", self._channel)), hiredis.ReplyError):
                raise LinkFailed(Reason.REFUSED, f"refused: {said}")
            self._standing = True
            while not await _set_within(lost, HEARTBEAT_S):
                await connection.send(command(b"PING"))
        finally:
            connection.end(Reason.LOST)


class _Overheard:
    """A reader that keeps messages from the replies to what was asked."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._reader = hiredis.Reader()
        self._hear = hear

    def feed(self, data: bytes, /) -> None:
        self._reader.feed(data)

    def gets(self) -> Any:  # noqa: ANN401 - see ReplyReader
        while isinstance(reply := self._reader.gets(), list) and reply[:1] == [b"message"]:
            self._hear(reply[2])
        return reply


def _nothing() -> None:
    """An answer is no news here."""


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
