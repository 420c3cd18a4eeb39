"""Concurrent requests of one model, decoded together: a bounded queue in front of one decoder.

A `DecodingHost` around a decoder in this process.  Knows nothing of users and items; a bad request spoils only itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from contracts.errors import DeadlineExceeded, EngineBusy, EngineDown, EngineFailed, RankGRError
from model.decoding.request import DecodeRequest, DecodeResult
from services.engine.decoder_thread import Decoder, DecoderThread
from services.engine.decoding_host import Decoded
from services.runtime.clock import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """A batch holds at most `most`; its first request waits at most `max_wait_s` for company.

    `waiting`: how many may wait before the next one is refused.  A batch that has been decoding for
    `stalled_after_s` counts as one that never ends.
    """

    most: int
    max_wait_s: float
    waiting: int
    stalled_after_s: float = 120.0


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request, until when it is of use, and the future that its caller awaits."""

    request: DecodeRequest
    since_s: float
    until_s: float
    answer: asyncio.Future[Decoded]
    gone: bool = False


class _Lost(Exception):
    """The decoder broke, and cannot even decode what it must be able to."""


@dataclass(slots=True, eq=False)
class MicroBatches:
    """See the port; takes requests between `start` and `stop`.

    `probe`: after the decoder broke on a request, this one tells a bad request from a decoder that is lost.
    """

    decoder: Decoder
    limits: BatchLimits
    clock: Clock
    observe_batch: Callable[[int], None]
    probe: DecodeRequest | None = None
    _queue: deque[_Waiting] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _full: asyncio.Event = field(default_factory=asyncio.Event)
    _thread: DecoderThread | None = None
    _worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many requests have not started."""
        return len(self._queue)

    @property
    def running(self) -> bool:
        """See the port."""
        if self._thread is None or self._worker is None or self._worker.done():
            return False
        since_s = self._thread.busy_since_s
        return since_s is None or self.clock.monotonic_s() - since_s < self.limits.stalled_after_s

    async def start(self) -> None:
        """See the port."""
        self._thread = DecoderThread(self.decoder, self.probe, self.clock)
        self._worker = asyncio.ensure_future(self._work(self._thread))
        self._worker.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End; who still waits is told EngineDown.  A batch that has started is left to end by itself."""
        # Let go: the ended task's traceback leads back here, and a model in such a circle would stay in memory until
        # somebody looks for circles, which takes hours here.
        worker, self._worker = self._worker, None
        thread, self._thread = self._thread, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        if thread is not None:
            thread.close()

    async def decode(self, request: DecodeRequest, deadline_ms: int) -> Decoded:
        """See the port.  A caller that is cancelled or out of time leaves the queue, or its batch at the next stage."""
        if not self.running:
            raise EngineDown("the model cannot decode now")
        if len(self._queue) >= self.limits.waiting:
            raise EngineBusy(len(self._queue))
        now_s = self.clock.monotonic_s()
        answer: asyncio.Future[Decoded] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(request, now_s, now_s + deadline_ms / 1000, answer)
        self._queue.append(waiting)
        self._arrived.set()
        if len(self._queue) >= self.limits.most:
            self._full.set()
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                return await answer
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer within {deadline_ms} ms") from error
        finally:
            # Gone early (cancelled, out of time): its place is free for somebody else.
            waiting.gone = True
            if not answer.done() or answer.cancelled():
                with suppress(ValueError):
                    self._queue.remove(waiting)

    async def _work(self, thread: DecoderThread) -> None:
        while True:
            batch = await self._next_batch()
            try:
                await self._decode_all(thread, batch)
            finally:
                for waiting in batch:
                    _refuse(waiting, EngineDown("the engine stopped while it decoded this request"))

    def _ended(self, worker: asyncio.Task[None]) -> None:
        """Nobody takes requests out of the queue any more."""
        if not worker.cancelled() and (error := worker.exception()) is not None:
            log.critical("the engine decodes no more", exc_info=error)
        while self._queue:
            _refuse(self._queue.popleft(), EngineDown("the engine is stopping"))

    async def _next_batch(self) -> list[_Waiting]:
        """The oldest requests that somebody still waits for."""
        await self._arrived.wait()
        if self._queue and len(self._queue) < self.limits.most:
            left_s = self.limits.max_wait_s - (self.clock.monotonic_s() - self._queue[0].since_s)
            if left_s > 0:
                self._full.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._full.wait()
        batch: list[_Waiting] = []
        while self._queue and len(batch) < self.limits.most:
            waiting = self._queue.popleft()
            if self.clock.monotonic_s() >= waiting.until_s:
                # Its timer has not come to run yet, on a loop that was busy; started now, it would end too late.
                _refuse(waiting, DeadlineExceeded("its deadline passed before its turn came"))
            elif not waiting.answer.done():
                batch.append(waiting)
        if not self._queue:
            self._arrived.clear()
        return batch

    async def _decode_all(self, thread: DecoderThread, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        started_s = self.clock.monotonic_s()
        self.observe_batch(len(batch))
        answers = await thread.decode([self._asked(waiting) for waiting in batch])
        if answers is not None:
            for waiting, answer in zip(batch, answers, strict=True):
                _answer(waiting, answer, started_s)
        elif len(batch) > 1:
            # Somebody in the batch broke the decoder: alone, only that one breaks it.
            for waiting in batch:
                if not waiting.answer.done():
                    await self._decode_all(thread, [waiting])
        elif await thread.still_works():
            _refuse(batch[0], EngineFailed("decoding failed on this request; the engine's log says why"))
        else:
            raise _Lost("the decoder broke on a request and then on one that it must be able to decode")

    def _asked(self, waiting: _Waiting) -> DecodeRequest:
        """What the decoder is asked, which is told between stages when nobody waits for it any more."""
        return replace(waiting.request, wanted=lambda: not waiting.gone and self.clock.monotonic_s() < waiting.until_s)


def _answer(waiting: _Waiting, answer: DecodeResult | RankGRError, started_s: float) -> None:
    if isinstance(answer, RankGRError):
        _refuse(waiting, answer)
    elif not waiting.answer.done():
        queue_ms = max(0.0, started_s - waiting.since_s) * 1000
        waiting.answer.set_result(Decoded(answer, queue_ms))


def _refuse(waiting: _Waiting, error: RankGRError) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
