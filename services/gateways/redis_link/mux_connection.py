"""One connection that many calls share: commands go out together, answers come back in order.

A MuxNode or a Subscription owns it.  A pool of connections costs two to three times the CPU per call (a checkout, a
write and a read of its own for each); here one write carries what all requests of a turn of the event loop want.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

import hiredis

from services.gateways.redis_link.link_errors import LinkFailed, Reason

MOST_IN_FLIGHT = 20_000
# After a stall of our own the timer may run before the answers that lie in the socket are read: they get this long.
SECOND_LOOK_S = 0.005

Reply = Any
"""bytes, int, None, a list of these, or a hiredis.ReplyError: what hiredis makes of RESP 2."""


class ReplyReader(Protocol):
    """Makes replies of bytes, as hiredis.Reader does."""

    def feed(self, data: bytes, /) -> object:
        """Take what came.  Raises hiredis.HiredisError."""
        ...

    def gets(self) -> Any:  # noqa: ANN401 - a Reply, or False
        """The next reply that is whole, else False.  Raises hiredis.HiredisError."""
        ...


class MuxConnection(asyncio.Protocol):
    """An established connection.  Every call must be answered within `answer_s`, or the connection is given up."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answer_s: float,
        on_answer: Callable[[], None],
        on_end: Callable[[MuxConnection, Reason], None],
        reader: ReplyReader,
    ) -> None:
        self._loop = loop
        self._answer_s = answer_s
        self._on_answer = on_answer
        self._on_end = on_end
        self._reader = reader
        self._pending: deque[tuple[asyncio.Future[Reply], int, float]] = deque()
        self._gathered: list[Reply] = []
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended: Reason | None = None

    @property
    def in_flight(self) -> int:
        """Calls that wait for their answer."""
        return len(self._pending)

    def send(self, commands: bytes, replies: int = 1) -> asyncio.Future[Reply]:
        """The reply to one command, or the list of replies to several that stand together.

        The future raises LinkFailed.  Its replies may be errors of the server (hiredis.ReplyError).
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self._ended is not None or len(self._pending) >= MOST_IN_FLIGHT:
            future.set_exception(LinkFailed(self._ended or Reason.BUSY))
            return future
        deadline = self._loop.time() + self._answer_s
        self._pending.append((future, replies, deadline))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(commands)
        return future

    def end(self, reason: Reason) -> None:
        """Give it up: whoever waits gets LinkFailed."""
        if self._ended is not None:
            return
        self._ended = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            # What is still to be written must not reach a server that wakes up later.
            self._transport.abort()
        self._on_end(self, reason)
        pending, self._pending = self._pending, deque()
        for future, _replies, _deadline in pending:
            if not future.done():
                future.set_exception(LinkFailed(reason))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Called by the event loop."""
        self.end(Reason.LOST)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop: hand out the answers that are whole."""
        self._on_answer()
        pending, reader = self._pending, self._reader
        try:
            reader.feed(data)
            # False: the next reply is not whole yet.  RESP 2 knows no booleans.
            while (reply := reader.gets()) is not False:
                future, replies, _deadline = pending[0]
                if replies > 1:
                    self._gathered.append(reply)
                    if len(self._gathered) < replies:
                        continue
                    reply, self._gathered = self._gathered, []
                pending.popleft()
                if not future.done():
                    future.set_result(reply)
        except (hiredis.HiredisError, IndexError):
            # Not RESP, or an answer that nobody asked for: which answer is whose is no longer known.
            self.end(Reason.LOST)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and self._ended is None:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _look(self) -> None:
        """The oldest call may be late; it is given up at the second look only."""
        self._timer = None
        if not self._pending:
            return
        late = self._pending[0][0]
        if self._pending[0][2] > self._loop.time():
            self._timer = self._loop.call_at(self._pending[0][2], self._look)
        else:
            self._timer = self._loop.call_later(SECOND_LOOK_S, self._look_again, late)

    def _look_again(self, late: asyncio.Future[Reply]) -> None:
        if self._pending and self._pending[0][0] is late:
            self.end(Reason.TIMEOUT)
        else:
            self._look()
