"""Commits that acknowledgements share: one at a time, each for all that was settled before it began."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kafka import errors as kafka_errors

from services.gateways.event_stream.kafka.link import FAILURES

# At 200 commits a second a member spends a few percent of a core on them.
EVERY_S = 0.005
# A group that is just handing out its partitions takes no commits: tried again for so long, this often.
PATIENCE_S = 2.0
AGAIN_S = 0.05

_REBALANCING = (kafka_errors.RebalanceInProgressError, kafka_errors.CommitFailedError)

Positions = dict[int, tuple[int, str]]


class Commits:
    """`positions` says what to commit now; `commit` does it, and raises kafka-python's errors."""

    def __init__(self, positions: Callable[[], Positions], commit: Callable[[Positions], Awaitable[None]]) -> None:
        self._positions = positions
        self._commit = commit
        self._waiting: list[asyncio.Future[None]] = []
        self._running: asyncio.Task[None] | None = None
        self._wanted = False
        self._last: Positions = {}
        self._began_s = 0.0

    async def done(self) -> None:
        """Return when a commit that began after this call has succeeded.  Raises what it failed of."""
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(committed)
        self.want()
        await committed

    def want(self) -> None:
        """Commit some time soon; nobody waits for it."""
        self._wanted = True
        if self._running is None:
            self._running = asyncio.ensure_future(self._run())

    def forget(self) -> None:
        """What was committed before says nothing any more: the member left the group."""
        self._last = {}

    async def close(self) -> None:
        """Let the one that is under way end."""
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._wanted:
                if (pause_s := self._began_s + EVERY_S - loop.time()) > 0:
                    await asyncio.sleep(pause_s)
                self._began_s = loop.time()
                self._wanted = False
                waiting, self._waiting = self._waiting, []
                _tell(waiting, await self._outcome(loop))
        finally:
            self._running = None

    async def _outcome(self, loop: asyncio.AbstractEventLoop) -> BaseException | None:
        until_s = loop.time() + PATIENCE_S
        while True:
            try:
                await self._commit_changes()
            except FAILURES as error:
                failure: BaseException = error
                if not isinstance(error, _REBALANCING) or loop.time() > until_s:
                    return failure
            else:
                return None
            await asyncio.sleep(AGAIN_S)

    async def _commit_changes(self) -> None:
        positions = self._positions()
        changed = {number: one for number, one in positions.items() if self._last.get(number) != one}
        if changed:
            await self._commit(changed)
        self._last = positions


def _tell(waiting: list[asyncio.Future[None]], error: BaseException | None) -> None:
    for one in waiting:
        if one.done():
            continue
        if error is None:
            one.set_result(None)
        else:
            one.set_exception(error)
