"""A consume loop beside an app: its lifespan starts and drains it, its readiness asks whether it still runs.

Mains of consumers use it.  Knows no stream: the loop is given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from contracts.errors import StreamDown

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ConsumeBeside:
    """`loop` runs until the event it is given is set, then ends what it has begun."""

    loop: Callable[[asyncio.Event], Coroutine[None, None, None]]
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume inside the block; leaving it waits until the loop has ended."""
        stop = asyncio.Event()
        self._task = asyncio.create_task(self.loop(stop))
        self._task.add_done_callback(_say_why)
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait([self._task])

    def check(self) -> None:
        """Raise StreamDown unless the loop runs."""
        if self._task is None or self._task.done():
            raise StreamDown("nothing is consumed: the loop does not run")


def _say_why(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the consume loop broke", exc_info=error)
