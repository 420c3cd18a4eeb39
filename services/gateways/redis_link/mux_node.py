"""One server over one shared connection: connects when asked, once again when refused, and not at all while its
breaker is open; then it asks in the background until the server answers.

MuxRedis owns one per server.  Never sends a call a second time after a timeout.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Protocol

from services.gateways.redis_link.breaker import Breaker
from services.gateways.redis_link.dialer import Dialer
from services.gateways.redis_link.link_errors import LinkFailed, Reason
from services.gateways.redis_link.mux_connection import MuxConnection, Reply

_log = logging.getLogger(__name__)


class LinkWatch(Protocol):
    """Whoever counts what happens on links; calls must be cheap and never raise."""

    def failed(self, reason: Reason) -> None:
        """A connection ended, or none could be had."""
        ...

    def turned(self, *, opened: bool) -> None:
        """A breaker opened, or closed."""
        ...


class Unwatched:
    """Counts nothing."""

    def failed(self, reason: Reason) -> None:
        """Not counted."""

    def turned(self, *, opened: bool) -> None:
        """Not counted."""


@dataclass(slots=True)
class MuxNode:
    """Asks what the dialer connects to; `place` names it in the log."""

    dialer: Dialer
    breaker: Breaker
    watch: LinkWatch
    place: str
    connection: MuxConnection | None = field(default=None, init=False)
    _connecting: asyncio.Task[MuxConnection] | None = field(default=None, init=False)
    _probing: asyncio.Task[None] | None = field(default=None, init=False)

    async def ask(self, commands: bytes, replies: int = 1) -> Reply:
        """The reply, or the replies to several commands.  Raises LinkFailed.

        A connection that ends under the call is replaced and the call sent once more: what is asked here must
        bear to be done twice.
        """
        connection = self.connection
        if connection is not None:
            try:
                return await connection.send(commands, replies)
            except LinkFailed as error:
                if error.reason is not Reason.LOST:
                    raise
        if not self.breaker.closed:
            raise LinkFailed(Reason.OPEN)
        return await (await self._connected()).send(commands, replies)

    async def close(self) -> None:
        """End the connection and whatever is under way."""
        for task in (self._probing, self._connecting):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.end(Reason.LOST)
        await self.dialer.where.close()

    async def _connected(self) -> MuxConnection:
        """The connection, made by the first who asks while the others wait for it."""
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._settle)
        return await asyncio.shield(self._connecting)

    def _settle(self, task: asyncio.Task[MuxConnection]) -> None:
        self._connecting = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.connection = task.result()
        elif isinstance(error, LinkFailed):
            self._failed(error.reason)

    async def _connect(self) -> MuxConnection:
        return await self.dialer.dial(self._answered, self._ended)

    def _answered(self) -> None:
        # A greeting does not count: a server may greet and then answer no call in time.
        if self.breaker.failures and self.connection is not None and self.breaker.closed:
            self.breaker.succeeded()

    def _ended(self, connection: MuxConnection, reason: Reason) -> None:
        if connection is not self.connection:
            return
        self.connection = None
        # A connection that ends while nobody uses it says nothing: servers close idle ones.
        if connection.in_flight:
            self._failed(reason)

    def _failed(self, reason: Reason) -> None:
        self.watch.failed(reason)
        was_closed = self.breaker.closed
        self.breaker.failed()
        if was_closed and not self.breaker.closed:
            self.watch.turned(opened=True)
            _log.warning(
                "redis does not answer, and is not asked until it does",
                extra={"place": self.place, "reason": reason.value},
            )
            self._probing = asyncio.ensure_future(self._probe_until_it_answers())

    async def _probe_until_it_answers(self) -> None:
        while not self.breaker.closed:
            await asyncio.sleep(self.breaker.pause_s)
            self.breaker.probing()
            try:
                self.connection = await self._connect()
            except LinkFailed as error:
                self.watch.failed(error.reason)
                self.breaker.failed()
            else:
                self.breaker.succeeded()
                self.watch.turned(opened=False)
                _log.info("redis answers again", extra={"place": self.place})
