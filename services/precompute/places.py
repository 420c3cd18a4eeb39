"""Places at the engine: so many at once, one per user, and a free one goes to the newest trigger that waits.

`precompute_candidates` asks for one before it computes.  When triggers come faster than lists, the oldest first would
make every list late; the newest first keeps as many in time as the engine can make.  Knows no store and no stream.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

from contracts.ids import UserId
from services.precompute.newest_triggers import TriggerAge


class Standing(Enum):
    """What became of who asked for a place."""

    PLACE = "it has one"
    PASSED = "a newer one of the same user came"
    CROWDED_OUT = "too many newer ones wait"
    TOO_LONG = "it has waited as long as one may"
    CLOSED = "no more places are given"


@dataclass(slots=True, order=True)
class _Waiter:
    age: TriggerAge
    # Whoever came first goes first among equals: the same trigger, delivered twice.
    number: int
    user: UserId = field(compare=False)
    told: asyncio.Future[Standing] = field(compare=False)


@dataclass(slots=True)
class Places:
    """At most `most` at once, each another user's; at most `most_waiting` wait, each `longest_wait_s` at most.

    `note_waiting` is told how many wait whenever that changes.  Belongs to one event loop.
    """

    most: int
    most_waiting: int
    longest_wait_s: float
    note_waiting: Callable[[int], None] = lambda _waiting: None
    _working: set[UserId] = field(default_factory=set, init=False)
    _came: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)
    # Oldest first.
    _waiting: list[_Waiter] = field(default_factory=list, init=False)

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def has_one_for(self, user: UserId) -> bool:
        """Whether this user's next one need not wait."""
        return len(self._working) < self.most and user not in self._working

    @asynccontextmanager
    async def ask(self, user: UserId, age: TriggerAge) -> AsyncIterator[Standing]:
        """Inside the block a PLACE is the caller's; anything else means that there is none for it.

        At once where one is free.  Else only a user's newest waits, and the oldest of all goes where too many do.
        """
        standing = await self._standing_of(user, age)
        try:
            yield standing
        finally:
            if standing is Standing.PLACE:
                self._pass_on(user)

    @asynccontextmanager
    async def open_until(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Give places until `stop` is set or the block left; who waits then is told CLOSED."""

        async def close_at_stop() -> None:
            await stop.wait()
            self.close()

        closing = asyncio.ensure_future(close_at_stop())
        try:
            yield
        finally:
            self.close()
            closing.cancel()
            await asyncio.wait([closing])

    def close(self) -> None:
        """Give no more places; those that are taken stay so until they are given back."""
        self._closed = True
        for waiter in list(self._waiting):
            self._tell(waiter, Standing.CLOSED)

    async def _standing_of(self, user: UserId, age: TriggerAge) -> Standing:
        if self._closed:
            return Standing.CLOSED
        # Where there is one, nobody who waits could have it: that one's user has one already.
        if self.has_one_for(user):
            self._working.add(user)
            return Standing.PLACE
        loop = asyncio.get_running_loop()
        self._came += 1
        # Among equals the one that came first counts as the newer.
        waiter = _Waiter(age, -self._came, user, loop.create_future())
        self._queue(waiter)
        # A timer that answers, and no timeout that cancels: a place may be given in that very moment.
        timer = loop.call_later(self.longest_wait_s, self._tell, waiter, Standing.TOO_LONG)
        try:
            return await waiter.told
        except asyncio.CancelledError:
            if not waiter.told.cancelled() and waiter.told.result() is Standing.PLACE:
                self._pass_on(user)
            raise
        finally:
            timer.cancel()
            self._forget(waiter)

    def _queue(self, waiter: _Waiter) -> None:
        of_user = [one for one in self._waiting if one.user == waiter.user]
        if any(waiter.age < one.age for one in of_user):
            self._tell(waiter, Standing.PASSED)
            return
        for one in of_user:
            if one.age < waiter.age:
                self._tell(one, Standing.PASSED)
        insort(self._waiting, waiter)
        if len(self._waiting) > self.most_waiting:
            self._tell(self._waiting[0], Standing.CROWDED_OUT)
        self.note_waiting(len(self._waiting))

    def _pass_on(self, user: UserId) -> None:
        """The place goes to the newest that waits and whose user has none, or becomes free."""
        self._working.remove(user)
        # Whose task was cancelled and has not run since is still in the queue.
        waiting = (one for one in reversed(self._waiting) if not one.told.done() and one.user not in self._working)
        newest = next(waiting, None)
        if newest is not None:
            self._working.add(newest.user)
            self._tell(newest, Standing.PLACE)

    def _tell(self, waiter: _Waiter, standing: Standing) -> None:
        self._forget(waiter)
        if not waiter.told.done():
            waiter.told.set_result(standing)

    def _forget(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self.note_waiting(len(self._waiting))
