"""Waiting for the update of a period: a publication after its samples were due, and the engine that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from services.gateways.bundle_store.port import BundleStore, Channel
from services.runtime.clock import Clock

LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class AwaitUpdate:
    """`settle_s`: so long after what happened last its samples have been learnt from.

    within_s: a trainer that published nothing until then has nothing to publish, or was refused: the run goes on
    with what serves, and `say` is told.
    """

    store: BundleStore
    engine_url: str
    clock: Clock
    settle_s: float
    within_s: float
    say: Callable[[str], None]

    async def __call__(self, until_ms: int) -> None:
        """Return when weights that were published after `until_ms` and its settling serve, or time is over."""
        due_ms = until_ms + round(self.settle_s * 1000)
        try:
            async with asyncio.timeout(self.settle_s + self.within_s):
                version = await self._published(due_ms)
                await self._served(version)
        except TimeoutError:
            self.say(f"no new weights within {self.settle_s + self.within_s:.0f} s: the run goes on with the old ones")

    async def _published(self, due_ms: int) -> str:
        """The model version of the first publication after this moment."""
        while True:
            moves = await asyncio.to_thread(self.store.moves, Channel.LATEST)
            if moves and moves[-1].at_ms >= due_ms and moves[-1].version is not None:
                stored = await asyncio.to_thread(self.store.bundle, moves[-1].version)
                return stored.manifest.model_version
            await asyncio.sleep(LOOK_EVERY_S)

    async def _served(self, model_version: str) -> None:
        async with httpx.AsyncClient(timeout=5.0) as client:
            while True:
                page = (await client.get(f"{self.engine_url}/metrics")).text
                named = [line for line in page.splitlines() if line.startswith("rankgr_engine_model_info{")]
                if any(f'"{model_version}"' in line for line in named):
                    return
                await asyncio.sleep(LOOK_EVERY_S)
