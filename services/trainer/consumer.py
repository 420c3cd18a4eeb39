"""The topic `samples`, read ahead of the steps: an event loop reads, one thread learns, a bounded queue lies between.

The positions are the learner's: what it has not kept is read again after a kill.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from contracts.errors import StreamDown
from services.gateways.event_stream.port import EventReader
from services.trainer.learn_samples import SampleMessage
from services.trainer.metrics import TrainerMetrics

log = logging.getLogger(__name__)

# Portions that wait: enough that a step never waits for the stream, little enough to fit beside a model.
WAITING = 4
WAIT_S = 0.5
FULL_S = 0.02
LAG_EVERY_S = 5.0
PAUSE_S = 1.0


class PortionQueue:
    """See `Portions`.  `stop` may be called from anywhere."""

    def __init__(self) -> None:
        self._portions: queue.Queue[Sequence[SampleMessage]] = queue.Queue(WAITING)
        self._stopped = threading.Event()
        self._kept: dict[str, str] | None = None
        self._lock = threading.Lock()

    @property
    def ended(self) -> bool:
        """Whether it was stopped; what waits then is read again after the next start."""
        return self._stopped.is_set()

    @property
    def full(self) -> bool:
        """Whether nothing more can be put."""
        return self._portions.full()

    def put(self, portion: Sequence[SampleMessage]) -> None:
        """One portion; the caller has seen that there is room, and is the only one that puts."""
        self._portions.put_nowait(portion)

    def take(self, wait_s: float) -> Sequence[SampleMessage]:
        """The next portion; empty where none came in time."""
        try:
            return self._portions.get(timeout=wait_s)
        except queue.Empty:
            return ()

    def kept(self, positions: dict[str, str]) -> None:
        """What lies before these positions is not needed again."""
        with self._lock:
            self._kept = positions

    def newly_kept(self) -> dict[str, str] | None:
        """What `kept` was told since this was last asked."""
        with self._lock:
            kept, self._kept = self._kept, None
        return kept

    def stop(self) -> None:
        """No portion is taken any more."""
        self._stopped.set()


@dataclass(slots=True)
class ReadSamples:
    """The reading side; `monotonic_s` is the loop's clock."""

    reader: EventReader
    portions: PortionQueue
    metrics: TrainerMetrics
    at_once: int
    monotonic_s: Callable[[], float]
    _down: bool = field(default=False, init=False)
    _next_lag_s: float = field(default=0.0, init=False)

    async def __call__(self, stop: asyncio.Event) -> None:
        """Read until `stop`; the stream may go and come back."""
        while not stop.is_set():
            try:
                await self._read()
                if self._down:
                    log.info("the event stream answers again")
                self._down = False
            except StreamDown as error:
                if not self._down:
                    log.warning("no samples come: %s", error)
                self._down = True
                await asyncio.sleep(PAUSE_S)

    async def _read(self) -> None:
        kept = self.portions.newly_kept()
        if kept:
            await self.reader.keep(kept)
        now_s = self.monotonic_s()
        if now_s >= self._next_lag_s:
            self._next_lag_s = now_s + LAG_EVERY_S
            self.metrics.lags(await self.reader.lag())
        if self.portions.full:
            await asyncio.sleep(FULL_S)
            return
        batch = await self.reader.read(self.at_once, WAIT_S)
        if batch.lost:
            self.metrics.lost(batch.lost)
        if batch.messages:
            self.portions.put([SampleMessage(one.part, one.position, one.payload) for one in batch.messages])
