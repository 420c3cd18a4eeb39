"""A decoder in a thread of its own: a batch at a time, and whether it can still be trusted after it broke.

Used by `micro_batches`, from one event loop.  Knows nothing of queues and deadlines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from contracts.errors import RankGRError
from model.decoding.request import DecodeRequest, DecodeResult
from services.runtime.clock import Clock

log = logging.getLogger(__name__)

Answers = Sequence[DecodeResult | RankGRError]


class Decoder(Protocol):
    """Where the two-stage decoding runs: one answer per request, in order; blocks, never raises."""

    def __call__(self, requests: Sequence[DecodeRequest], /) -> Answers: ...


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder")


@dataclass(slots=True, eq=False)
class DecoderThread:
    """`probe` is a prompt that the decoder must be able to decode; None trusts it whatever happens.

    `busy_since_s`: since when a batch has been inside, None where none is.
    """

    decoder: Decoder
    probe: DecodeRequest | None
    clock: Clock
    busy_since_s: float | None = None
    _pool: ThreadPoolExecutor = field(default_factory=_one_thread)

    async def decode(self, requests: Sequence[DecodeRequest]) -> Answers | None:
        """The decoder's answers; None where it raised, or gave too few or too many."""
        self.busy_since_s = self.clock.monotonic_s()
        run = asyncio.get_running_loop().run_in_executor(self._pool, self.decoder, requests)
        # Waited for, not awaited: whoever is cancelled here must not take the thread's batch for its own.
        await asyncio.wait([run])
        self.busy_since_s = None
        if (error := run.exception()) is not None:
            log.error("the decoder failed on a batch of %d", len(requests), exc_info=error)
            return None
        answers = run.result()
        if len(answers) != len(requests):
            log.error("the decoder gave %d answers to %d requests", len(answers), len(requests))
            return None
        return answers

    async def still_works(self) -> bool:
        """Whether the probe can be decoded: a device that failed once may fail for good."""
        if self.probe is None:
            return True
        answers = await self.decode([self.probe])
        return answers is not None and isinstance(answers[0], DecodeResult)

    def close(self) -> None:
        """End without waiting: a batch that has started is left to end by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
