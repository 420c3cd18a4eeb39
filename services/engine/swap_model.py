"""The use case behind every new bundle: it is read and warmed up beside the one that serves, then takes its place.

`main` hands it to the follower of the bundle store.  No prompt waits for it: who is inside is answered by the old
model, who comes after the switch by the new one, and the old one ends when the last of its prompts has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from contracts.errors import RankGRError
from model.bundle.read import Bundle, read_bundle
from services.engine.recommend_items import RecommendItems
from services.engine.serving import Serving
from services.runtime.clock import Clock

Result = TypeVar("Result")


def _one_thread() -> ThreadPoolExecutor:
    # At the same priority as the others: put behind them by the kernel while it holds the interpreter's lock, it
    # would hold up everybody (measured on busy cores: pauses of several hundred milliseconds).
    return ThreadPoolExecutor(1, thread_name_prefix="swap")


@dataclass(slots=True, eq=False)
class SwapModel:
    """`serving_of` builds what serves a bundle; `rehearse` decodes on it before anybody else does; both block.

    `switched` is told which bundle answers from now on.  Raises BadBundle, and what the new model says of the
    prompts that it is warmed up with; the old one serves on.
    """

    recommend: RecommendItems
    serving_of: Callable[[Bundle], Serving]
    switched: Callable[[Bundle], None]
    clock: Clock
    note_stage: Callable[[str, float], None] = lambda _stage, _seconds: None
    _thread: ThreadPoolExecutor = field(default_factory=_one_thread)

    async def __call__(self, directory: Path) -> None:
        """Serve the bundle in this directory; returns when the old model has ended."""
        started_s = self.clock.monotonic_s()
        bundle = await self._aside(lambda: read_bundle(directory))
        serving = await self._aside(lambda: self.serving_of(bundle))
        started_s = self._stage("load", started_s)
        await self._warmed_up(serving)
        started_s = self._stage("warm_up", started_s)
        old = self.recommend.serving
        self.recommend.serving = serving
        self.switched(bundle)
        try:
            await old.drained()
        finally:
            await old.host.stop()
        self._stage("drain", started_s)

    async def _warmed_up(self, serving: Serving) -> None:
        """Past the host first, on the thread of the swap; the host then needs no more than to have decoded once."""
        rehearse = serving.rehearse
        if rehearse is None:
            await serving.start()
            return
        for batch in serving.model.warm_up:
            for answer in await self._aside(partial(rehearse, batch)):
                if isinstance(answer, RankGRError):
                    raise answer
        shortest = min((prompt for batch in serving.model.warm_up for prompt in batch), key=lambda one: len(one.tokens))
        await serving.start([[shortest]])

    def close(self) -> None:
        """End without waiting for what is being read."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _aside(self, what: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, what)

    def _stage(self, stage: str, since_s: float) -> float:
        now_s = self.clock.monotonic_s()
        self.note_stage(stage, now_s - since_s)
        return now_s
