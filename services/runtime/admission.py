"""How much a process takes on at once: the rest waits a little, and is then told to come again.

Hot routes of trigger and retrieval share it.  One event loop does one thing at a time: what it takes on beyond what it
can finish makes every answer late, until none comes in time.  And a refusal costs nearly as much as a small answer, so
whoever is refused waits first: a client that asks again at once is then no faster than one that is served.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from contracts.errors import Overloaded

PATIENCE_S = 0.1


@dataclass(slots=True)
class Admission:
    """At most `most` requests inside; those before the door wait up to `patience_s`, first come, first served.

    Await `enter`, and call `leave` in a finally.  With a patience of 0 whoever finds it full is refused at once.
    """

    most: int
    patience_s: float = PATIENCE_S
    inside: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque, init=False)

    @property
    def waiting(self) -> int:
        """Requests before the door."""
        return len(self._waiting)

    def try_enter(self) -> bool:
        """Go inside, if there is room: the short way, which costs no coroutine."""
        if self.inside >= self.most:
            return False
        self.inside += 1
        return True

    async def enter(self) -> None:
        """Return once inside.  Raises Overloaded when patience ends first."""
        if self.try_enter():
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(self.patience_s, self._lose_patience, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # The turn came together with the cancellation: hand it on.
                self.leave()
            raise
        finally:
            timer.cancel()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Give the place away for as long as the block waits for something; call it from inside.

        Who comes back is not refused, and may make one more than `most` inside: how many wait aside is the caller's
        to bound.
        """
        self.leave()
        try:
            yield
        finally:
            self.inside += 1

    def leave(self) -> None:
        """Make room for the next."""
        while self._waiting and self.inside <= self.most:
            turn = self._waiting.popleft()
            if not turn.done():
                # The place goes from hand to hand: `inside` stays as it is.
                turn.set_result(None)
                return
        self.inside -= 1

    def _lose_patience(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self.refused += 1
            turn.set_exception(Overloaded("more requests than can be answered in time; come again in a second"))
            # Mostly it stands in front, since everybody has the same patience.
            if self._waiting and self._waiting[0] is turn:
                self._waiting.popleft()
