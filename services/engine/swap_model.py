"""The use case behind every new bundle: it is read and warmed up beside the one that serves, then takes its place.

`main` hands it to the follower of the bundle store.  No prompt waits for it: who is inside is answered by the old
model, who comes after the switch by the new one, and the old one ends when the last of its prompts has left.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from contracts.errors import RankGRError
from model.bundle.read import Bundle, read_bundle
from services.engine.recommend_items import RecommendItems
from services.engine.serving import Serving
from services.runtime.clock import Clock

# Below everything that serves: reading, checking and building take whole seconds of a core.
NICENESS = 15

Result = TypeVar("Result")


def _behind_the_others() -> None:
    """Of this thread, and of those that it starts."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="swap", initializer=_behind_the_others)


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
        bundle = await self._behind(lambda: read_bundle(directory))
        serving = await self._behind(lambda: self.serving_of(bundle))
        started_s = self._stage("load", started_s)
        await self._behind(lambda: _rehearsed(serving))
        await serving.start()
        started_s = self._stage("warm_up", started_s)
        old = self.recommend.serving
        self.recommend.serving = serving
        self.switched(bundle)
        try:
            await old.drained()
        finally:
            await old.host.stop()
        self._stage("drain", started_s)

    def close(self) -> None:
        """End without waiting for what is being read."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _behind(self, what: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, what)

    def _stage(self, stage: str, since_s: float) -> float:
        now_s = self.clock.monotonic_s()
        self.note_stage(stage, now_s - since_s)
        return now_s


def _rehearsed(serving: Serving) -> None:
    for batch in serving.model.warm_up:
        for answer in serving.rehearse(batch):
            if isinstance(answer, RankGRError):
                raise answer
