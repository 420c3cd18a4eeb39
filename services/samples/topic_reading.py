"""One topic read at the pace of whoever asks: an outage is told once, then waited out, and never taken for silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from contracts.errors import StreamDown
from services.gateways.event_stream.port import EventReader, ReadBatch
from services.runtime.clock import Clock
from services.samples.incoming import Taken
from services.samples.metrics import SamplesMetrics

WAIT_S = 0.5
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
LAG_EVERY_S = 5.0
# Where a reader stands is told to the stream so often; it may drop what lies before.
TELL_EVERY_S = 2.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class TopicReading:
    """`next` is called again and again, one call at a time; `paused` and `kept` may be changed between calls."""

    topic: str
    reader: EventReader
    most: int
    clock: Clock
    random: Random
    metrics: SamplesMetrics
    paused: frozenset[str] = frozenset()
    kept: Mapping[str, str] = field(default_factory=dict)
    parts: frozenset[str] = frozenset()
    outages: int = 0
    _told: Mapping[str, str] = field(default_factory=dict)
    _tell_due_s: float = 0.0
    _lag_due_s: float = 0.0

    @property
    def may_read(self) -> bool:
        """Whether there is a part that need not wait."""
        return not self.parts or bool(self.parts - self.paused)

    async def next(self) -> Taken:
        """Wait a moment for what comes next; after an outage a longer one."""
        if self.outages:
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.outages - 1, 10))
            await asyncio.sleep(pause_s * (0.5 + 0.5 * self.random.random()))
        asked_at_ms = self.clock.now_ms()
        try:
            batch = await self._read()
        except StreamDown as error:
            if self.outages == 0:
                _log.warning("topic cannot be read", extra={"topic": self.topic, "reason": str(error)})
            self.outages += 1
            self.metrics.outages.labels("stream").inc()
            return Taken(self.topic, None, asked_at_ms, self.parts)
        if self.outages:
            _log.info("topic can be read again", extra={"topic": self.topic, "tries": self.outages})
        self.outages = 0
        return Taken(self.topic, batch, asked_at_ms, self.parts)

    async def _read(self) -> ReadBatch:
        now_s = self.clock.monotonic_s()
        if not self.parts:
            self.parts = await self.reader.parts()
        if now_s >= self._tell_due_s and self.kept != self._told:
            kept = dict(self.kept)
            await self.reader.keep(kept)
            self._told, self._tell_due_s = kept, now_s + TELL_EVERY_S
        if now_s >= self._lag_due_s:
            self.metrics.lag.labels(self.topic).set(await self.reader.lag())
            self._lag_due_s = now_s + LAG_EVERY_S
        return await self.reader.read(self.most, WAIT_S, self.paused)
