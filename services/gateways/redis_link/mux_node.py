"""One server over one shared connection: connects when asked, once again when refused, and not at all while its
breaker is open; then it asks in the background until the server answers.

MuxRedis owns one per server.  Never sends a call a second time after a timeout.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import hiredis

from services.gateways.redis_link.breaker import Breaker
from services.gateways.redis_link.link_errors import LinkFailed, Reason
from services.gateways.redis_link.mux_connection import MuxConnection, Reply
from services.gateways.redis_link.resp import Part, command
from services.runtime.redis_url import Address, Login

# Long enough for a server that is just starting to listen, short beside any timeout.
REFUSED_PAUSE_S = 0.003


class LinkWatch(Protocol):
    """Whoever counts what happens on links; calls must be cheap and never raise."""

    def failed(self, reason: Reason) -> None:
        """A connection ended, or none could be had."""
        ...

    def turned(self, *, opened: bool) -> None:
        """A breaker opened, or closed."""
        ...


@dataclass(frozen=True, slots=True)
class NodeTimes:
    """Seconds to a usable connection, and to an answer on it."""

    connect_s: float
    answer_s: float


@dataclass(slots=True)
class MuxNode:
    """`where` gives the server's address (or a socket's path) anew for each connection."""

    where: Callable[[], Awaitable[Address | str]]
    greeting: tuple[tuple[Part, ...], ...]
    tls: ssl.SSLContext | None
    times: NodeTimes
    breaker: Breaker
    watch: LinkWatch
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
        try:
            async with asyncio.timeout(self.times.connect_s):
                try:
                    return await self._greeted()
                except OSError:
                    # A server that is being restarted refuses for a moment; it is tried again once.
                    await asyncio.sleep(REFUSED_PAUSE_S)
                    return await self._greeted()
        except TimeoutError:
            raise LinkFailed(Reason.TIMEOUT) from None
        except OSError:
            raise LinkFailed(Reason.UNREACHABLE) from None

    async def _greeted(self) -> MuxConnection:
        loop = asyncio.get_running_loop()
        made = MuxConnection(loop, self.times.answer_s, self._answered, self._ended)
        at = await self.where()
        if isinstance(at, str):
            await loop.create_unix_connection(lambda: made, at)
        else:
            host = at.host if self.tls else None
            await loop.create_connection(lambda: made, at.host, at.port, ssl=self.tls, server_hostname=host)
        try:
            words = b"".join(command(*words) for words in self.greeting)
            replies = await made.send(words, len(self.greeting))
        except BaseException:
            made.end(Reason.LOST)
            raise
        for reply in replies if len(self.greeting) > 1 else [replies]:
            if isinstance(reply, hiredis.ReplyError):
                made.end(Reason.REFUSED)
                raise LinkFailed(Reason.REFUSED, f"refused: {reply}")
            if isinstance(reply, list) and reply[:1] not in ([b"master"], []):
                # The answer to ROLE: this server was the primary once, or is not yet.
                made.end(Reason.REFUSED)
                raise LinkFailed(Reason.UNREACHABLE)
        return made

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


def greeting_of(login: Login, database: int, *, primary: bool) -> tuple[tuple[Part, ...], ...]:
    """What is said first: who we are, which database, and whether the server is there (and the primary)."""
    words: list[tuple[Part, ...]] = []
    if login.password is not None:
        name = () if login.username is None else (login.username.encode(),)
        words.append((b"AUTH", *name, login.password.encode()))
    if database:
        words.append((b"SELECT", database))
    words.append((b"ROLE",) if primary else (b"PING",))
    return tuple(words)
