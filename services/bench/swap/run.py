"""One engine on a bundle store, a steady load on it, and bundles that are promoted and rolled back meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import Unavailable
from services.bench.swap.load import Asked, Load, longest_pause_ms
from services.bench.swap.report import Stretch, Swap
from services.bundles.promote import PromoteBundle
from services.bundles.roll_back import RollBack
from services.runtime.clock import Clock

QUIET_S = 3.0
AFTER_S = 1.0
AROUND_S = 0.25
SWAP_WITHIN_S = 300.0
LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen."""

    quiet: Stretch
    swaps: Sequence[Swap]
    asked: Sequence[Asked]


@dataclass(frozen=True, slots=True)
class MeasureSwaps:
    """Swaps an engine between two bundles; `versions` are their model versions, the first one is served."""

    load: Load
    promote: PromoteBundle
    roll_back: RollBack
    bundles: tuple[Path, Path]
    versions: tuple[str, str]
    clock: Clock

    async def __call__(self, rounds: int, say: Callable[[int], None]) -> Measured:
        """A promotion and a rollback per round; raises Unavailable where the engine does not follow."""
        swaps: list[Swap] = []
        async with self.load.running():
            await asyncio.sleep(QUIET_S)
            quiet = Stretch.of(self.load.asked)
            for _ in range(rounds):
                swaps.append(await self._swap("promote", lambda: self.promote(self.bundles[1]), self.versions[1]))
                swaps.append(await self._swap("rollback", self.roll_back, self.versions[0]))
                say(1)
        return Measured(quiet, swaps, self.load.asked)

    async def _swap(self, kind: str, command: Callable[[], object], version: str) -> Swap:
        began_s, seen = self.clock.monotonic_s(), len(self.load.asked)
        await asyncio.to_thread(command)
        while not (first := [one for one in self.load.asked[seen:] if one.model == version]):
            if self.clock.monotonic_s() - began_s > SWAP_WITHIN_S:
                raise Unavailable(f"the engine did not follow within {SWAP_WITHIN_S:g} s; its log says why")
            await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.sleep(AFTER_S)
        at_s = first[0].answered_s
        asked = self.load.asked[seen:]
        pause_ms = longest_pause_ms(asked, at_s - AROUND_S, at_s + AROUND_S)
        return Swap(kind, round(at_s - began_s, 3), Stretch.of(asked), round(pause_ms, 2))
