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
                await self._served(due_ms)
        except TimeoutError:
            self.say(f"no new weights within {self.settle_s + self.within_s:.0f} s: the run goes on with the old ones")

    async def _served(self, due_ms: int) -> None:
        async with httpx.AsyncClient(timeout=5.0) as client:
            while True:
                # Any of them: the next one may be published before an engine has swapped to the first.
                published = await asyncio.to_thread(self._published, due_ms)
                if await self._serves_one_of(client, published):
                    return
                await asyncio.sleep(LOOK_EVERY_S)

    def _published(self, due_ms: int) -> set[str]:
        """The model versions that were published since this moment and are kept."""
        moved = {move.version for move in self.store.moves(Channel.LATEST) if move.at_ms >= due_ms}
        if not moved:
            return set()
        return {one.manifest.model_version for one in self.store.bundles() if one.version in moved}

    async def _serves_one_of(self, client: httpx.AsyncClient, model_versions: set[str]) -> bool:
        if not model_versions:
            return False
        try:
            page = (await client.get(f"{self.engine_url}/metrics")).text
        except httpx.TransportError:
            # Too busy, or the connection was just being closed: looked at again.
            return False
        named = [line for line in page.splitlines() if line.startswith("rankgr_engine_model_info{")]
        return any(f'"{version}"' in line for line in named for version in model_versions)
