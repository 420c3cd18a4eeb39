"""Concurrent requests of one model, decoded together: a bounded queue, and one worker thread for batches.

A `DecodingHost` around a decoder in this process.  Knows nothing of users and items; a bad request spoils only itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from contracts.errors import DeadlineExceeded, EngineBusy, EngineDown, EngineFailed, RankGRError
from model.decoding.request import DecodeRequest, DecodeResult
from services.engine.decoding_host import Decoded
from services.runtime.clock import Clock

log = logging.getLogger(__name__)


class Host(Protocol):
    """Where the two-stage decoding runs: one answer per request, in order; blocks, never raises."""

    def __call__(self, requests: Sequence[DecodeRequest], /) -> Sequence[DecodeResult | RankGRError]: ...


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """A batch holds at most `most`; its first request waits at most `max_wait_s` for company.

    `waiting`: how many may wait before the next one is refused.
    """

    most: int
    max_wait_s: float
    waiting: int


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A request that has not started, and the future that its caller awaits."""

    request: DecodeRequest
    since_s: float
    answer: asyncio.Future[Decoded]


@dataclass(slots=True, eq=False)
class MicroBatches:
    """See the port; takes requests between `start` and `stop`."""

    host: Host
    limits: BatchLimits
    clock: Clock
    observe_batch: Callable[[int], None]
    _queue: deque[_Waiting] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _full: asyncio.Event = field(default_factory=asyncio.Event)
    _pool: ThreadPoolExecutor | None = None
    _worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many requests have not started."""
        return len(self._queue)

    @property
    def running(self) -> bool:
        """Whether requests are being taken."""
        return self._worker is not None and not self._worker.done()

    async def start(self) -> None:
        """See the port."""
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder")
        self._worker = asyncio.ensure_future(self._work(self._pool))

    async def stop(self) -> None:
        """End; who still waits is told EngineDown.  A batch that has started is left to end by itself."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        while self._queue:
            _refuse(self._queue.popleft(), EngineDown("the engine is stopping"))

    async def decode(self, request: DecodeRequest, deadline_ms: int) -> Decoded:
        """The result of one request.  A caller that is cancelled or out of time leaves the queue.

        Raises EngineBusy, DeadlineExceeded, EngineDown, or what the host says of this request.
        """
        if not self.running:
            raise EngineDown("the engine is not running")
        if len(self._queue) >= self.limits.waiting:
            raise EngineBusy(len(self._queue))
        waiting = _Waiting(request, self.clock.monotonic_s(), asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._arrived.set()
        if len(self._queue) >= self.limits.most:
            self._full.set()
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                return await waiting.answer
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer within {deadline_ms} ms") from error
        finally:
            # Gone early (cancelled, out of time): its place in the queue is free for somebody else.
            if not waiting.answer.done() or waiting.answer.cancelled():
                with suppress(ValueError):
                    self._queue.remove(waiting)

    async def _work(self, pool: ThreadPoolExecutor) -> None:
        while True:
            batch = await self._next_batch()
            try:
                await self._decode_all(pool, batch)
            finally:
                for waiting in batch:
                    _refuse(waiting, EngineDown("the engine is stopping"))

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
            if not waiting.answer.done():
                batch.append(waiting)
        if not self._queue:
            self._arrived.clear()
        return batch

    async def _decode_all(self, pool: ThreadPoolExecutor, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        started_s = self.clock.monotonic_s()
        self.observe_batch(len(batch))
        answers = await self._attempt(pool, batch)
        if answers is None and len(batch) > 1:
            # Somebody in the batch broke the host: alone, only that one breaks it.
            for waiting in batch:
                if not waiting.answer.done():
                    _answer([waiting], await self._attempt(pool, [waiting]), started_s)
            return
        _answer(batch, answers, started_s)

    async def _attempt(
        self, pool: ThreadPoolExecutor, batch: Sequence[_Waiting]
    ) -> Sequence[DecodeResult | RankGRError] | None:
        """The host's answers; None when it broke its promise."""
        requests = [waiting.request for waiting in batch]
        run = asyncio.get_running_loop().run_in_executor(pool, self.host, requests)
        await asyncio.wait([run])
        error = run.exception()
        if error is not None:
            log.error("the host failed on a batch of %d", len(batch), exc_info=error)
            return None
        answers = run.result()
        if len(answers) != len(batch):
            log.error("the host gave %d answers to %d requests", len(answers), len(batch))
            return None
        return answers


def _answer(batch: Sequence[_Waiting], answers: Sequence[DecodeResult | RankGRError] | None, started_s: float) -> None:
    failed = EngineFailed("decoding failed on this request; the engine's log says why")
    for waiting, answer in zip(batch, answers or [failed] * len(batch), strict=True):
        if isinstance(answer, RankGRError):
            _refuse(waiting, answer)
        elif not waiting.answer.done():
            queue_ms = max(0.0, started_s - waiting.since_s) * 1000
            waiting.answer.set_result(Decoded(answer, queue_ms))


def _refuse(waiting: _Waiting, error: RankGRError) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
