"""The loop: read the three topics side by side, hand what came to the use case, wait out whatever is down.

One turn is read, taken in, written down and published before the next one begins; meanwhile the next is being read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from contracts.errors import StreamDown, Unavailable
from services.runtime.clock import Clock
from services.samples.incoming import Taken
from services.samples.metrics import SamplesMetrics
from services.samples.sample_sessions import SampleSessions
from services.samples.topic_reading import FIRST_PAUSE_S, LONGEST_PAUSE_S, TopicReading

# So long a turn waits at most for something to come.
IDLE_TURN_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class SampleTopics:
    """`turn_s`: turns begin no closer together, so that a user who does much is written once for all of it."""

    sessions: SampleSessions
    readings: Sequence[TopicReading]
    clock: Clock
    random: Random
    metrics: SamplesMetrics
    turn_s: float
    trouble: str | None = None
    """What is down now, as far as is known; readiness asks."""
    _reads: dict[str, asyncio.Task[Taken]] = field(default_factory=dict, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what was read and not written down by then is read again the next time."""
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await self._until_done(self.sessions.load, stopping)
            # What the last process wrote down and perhaps did not publish.
            await self._until_done(self.sessions.publish, stopping)
            while not stop.is_set():
                await self._turn(stopping)
        finally:
            stopping.cancel()
            for read in self._reads.values():
                read.cancel()
            await asyncio.gather(*self._reads.values(), return_exceptions=True)

    async def close(self) -> None:
        """Free the readers' connections, after `run` has ended."""
        for reading in self.readings:
            await reading.reader.close()

    async def _turn(self, stopping: asyncio.Future[Any]) -> None:
        began_s = self.clock.monotonic_s()
        taken = await self._taken(stopping)
        read_s = self.clock.monotonic_s()

        async def take() -> None:
            await self.sessions.take(taken)

        for step in (take, self.sessions.keep, self.sessions.publish):
            if not await self._until_done(step, stopping):
                return
        if any(one.batch and one.batch.messages for one in taken):
            self.metrics.turns.observe(self.clock.monotonic_s() - read_s)
        for reading in self.readings:
            reading.kept = self.sessions.positions(reading.topic)
        left_s = began_s + self.turn_s - self.clock.monotonic_s()
        if left_s > 0 and not self.sessions.more_is_due:
            await asyncio.wait([stopping], timeout=left_s)

    async def _taken(self, stopping: asyncio.Future[Any]) -> list[Taken]:
        """What has been read by now; waits for the first of it, unless there is more to do without."""
        for reading in self.readings:
            reading.paused = self.sessions.too_far(reading.topic)
            if reading.topic not in self._reads and reading.may_read:
                self._reads[reading.topic] = asyncio.ensure_future(reading.next())
        timeout_s = 0.0 if self.sessions.more_is_due else IDLE_TURN_S
        await asyncio.wait([stopping, *self._reads.values()], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        done = [topic for topic, read in self._reads.items() if read.done()]
        return [self._reads.pop(topic).result() for topic in done]

    async def _until_done(self, step: Callable[[], Awaitable[None]], stopping: asyncio.Future[Any]) -> bool:
        """Try until it succeeds; False where we are told to stop before."""
        tries = 0
        while True:
            try:
                await step()
            except Unavailable as error:
                if self.trouble is None:
                    _log.warning("samples wait", extra={"reason": str(error)})
                self.trouble = str(error)
                self.metrics.outages.labels("stream" if isinstance(error, StreamDown) else "state").inc()
            else:
                if self.trouble is not None:
                    _log.info("samples go on", extra={"tries": tries})
                self.trouble = None
                return True
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(tries, 10))
            tries += 1
            await asyncio.wait([stopping], timeout=pause_s * (0.5 + 0.5 * self.random.random()))
            if stopping.done():
                return False
