"""One model that answers, its host, and who is inside: what a swap replaces as one thing.

`recommend_items` takes prompts to it, `swap_model` puts another one in its place.  Nothing of two models ever mixes:
a prompt keeps the one that it came in with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from model.decoding.request import DecodeRequest
from services.engine.decoder_thread import Answers
from services.engine.decoding_host import DecodingHost

# The first decodings compile and allocate; on a slow machine that takes a while.
WARM_UP_MS = 300_000

Batches = Sequence[Sequence[DecodeRequest]]


@dataclass(frozen=True, slots=True)
class Model:
    """Which model answers.  `warm_up` are batches of prompts that it takes, each to be decoded together."""

    model_version: str
    catalog_version: str
    vocab_size: int
    warm_up: Batches


@dataclass(slots=True, eq=False)
class Serving:
    """A host and the model on it; `cache_bytes`: what it keeps of users' prompts now.

    `rehearse` decodes a batch past the host, blocking, before it is started; None where that cannot be.
    """

    host: DecodingHost
    model: Model
    cache_bytes: Callable[[], int] = lambda: 0
    rehearse: Callable[[Sequence[DecodeRequest]], Answers] | None = None
    _inside: int = field(default=0, init=False)
    _left: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @contextmanager
    def visit(self) -> Iterator[None]:
        """Around every prompt, from its arrival to its answer."""
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._left.set()

    async def start(self, batches: Batches | None = None) -> None:
        """Begin to work and decode the warm-up prompts, so that nobody's first request pays for it.

        batches: others than the model's.  Raises what the model says of them; then nothing goes on running.
        """
        try:
            await self.host.start()
            for batch in self.model.warm_up if batches is None else batches:
                # Past the pace: what compiles takes its time once.
                await asyncio.gather(*(self.host.decode(prompt, WARM_UP_MS) for prompt in batch))
        except BaseException:
            await self.host.stop()
            raise

    async def drained(self) -> None:
        """Wait until nobody is inside; every prompt has a deadline, so that this ends."""
        while self._inside:
            self._left.clear()
            await self._left.wait()
