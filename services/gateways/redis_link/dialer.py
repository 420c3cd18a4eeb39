"""Makes connections to one Redis: connected, greeted and known to be the server that was meant.

MuxNode and Subscription own one each.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import hiredis

from services.gateways.redis_link.link_errors import LinkFailed, Reason
from services.gateways.redis_link.mux_connection import MuxConnection, ReplyReader
from services.gateways.redis_link.resp import Part, command
from services.gateways.redis_link.whereabouts import Where
from services.runtime.redis_url import Login

# Long enough for a server that is just starting to listen, short beside any timeout.
REFUSED_PAUSE_S = 0.003


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """Seconds to a usable connection, and to an answer on it."""

    connect_s: float
    answer_s: float


@dataclass(frozen=True, slots=True)
class Dialer:
    """Connects to `where` and says `greeting`."""

    where: Where
    greeting: tuple[tuple[Part, ...], ...]
    tls: ssl.SSLContext | None
    times: LinkTimes

    async def dial(
        self,
        on_answer: Callable[[], None],
        on_end: Callable[[MuxConnection, Reason], None],
        reader: Callable[[], ReplyReader] = hiredis.Reader,
    ) -> MuxConnection:
        """A connection that can be used.  Raises LinkFailed."""
        try:
            async with asyncio.timeout(self.times.connect_s):
                try:
                    return await self._greeted(on_answer, on_end, reader)
                except OSError:
                    # A server that is being restarted refuses for a moment; it is tried again once.
                    await asyncio.sleep(REFUSED_PAUSE_S)
                    return await self._greeted(on_answer, on_end, reader)
        except TimeoutError:
            raise LinkFailed(Reason.TIMEOUT) from None
        except (OSError, UnicodeError):
            # A UnicodeError: what a Sentinel or a cluster calls a host is no name that could be looked up.
            raise LinkFailed(Reason.UNREACHABLE) from None

    async def _greeted(
        self,
        on_answer: Callable[[], None],
        on_end: Callable[[MuxConnection, Reason], None],
        reader: Callable[[], ReplyReader],
    ) -> MuxConnection:
        loop = asyncio.get_running_loop()
        made = MuxConnection(loop, self.times.answer_s, on_answer, on_end, reader())
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
