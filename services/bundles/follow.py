"""A process that follows the bundle store: it looks where its channel points, stages what is new, and swaps it in.

Mains of engine, precompute and retrieval run it beside the app.  Whatever goes wrong, what is served goes on being
served: a bundle that is no good is refused until its channel moves again, a store that is down is asked again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import BadBundle, BundleStoreDown, RankGRError
from services.bundles.canary import wanted
from services.bundles.follow_metrics import FollowMetrics
from services.bundles.staging import Staging
from services.gateways.bundle_store.port import BundleStore, Channel, Move, Turn
from services.runtime.clock import Clock

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0

Swap = Callable[[Path], Awaitable[None]]
"""Read the bundle in this directory, make it ready, serve it.  Raises BadBundle, or what else is wrong with it."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Processes of one channel swap one after the other: each takes the store's turn for at most `seconds`."""

    holder: str
    seconds: float


@dataclass(slots=True, eq=False)
class FollowBundles:
    """`served`: the version of the bundle that is served to begin with.  `turns` None: swaps when it likes."""

    store: BundleStore
    channel: Channel
    staging: Staging
    swap: Swap
    clock: Clock
    poll_s: float
    served: str
    metrics: FollowMetrics | None = None
    turns: Turns | None = None
    _refused: Move | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)
    _next_try_s: float = field(default=0.0, init=False)
    _store_is_down: bool = field(default=False, init=False)

    async def look(self) -> None:
        """Ask once where the channel points, and swap if that is somewhere else.  Never raises for what it finds."""
        try:
            move = await asyncio.to_thread(self._wanted)
        except BundleStoreDown as error:
            self._note_store_down(error)
            return
        if self._store_is_down:
            log.info("the bundle store answers again")
            self._store_is_down = False
        if move is None or move.version is None or move.version == self.served or move == self._refused:
            return
        if self._failures and self.clock.monotonic_s() < self._next_try_s:
            return
        await self._try(move, move.version)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Look again and again inside the block."""
        following = asyncio.ensure_future(self._follow())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self.poll_s)

    def _wanted(self) -> Move | None:
        latest = self.store.moves(Channel.LATEST)
        canary = self.store.moves(Channel.CANARY) if self.channel is Channel.CANARY else ()
        return wanted(self.channel, latest, canary)

    async def _try(self, move: Move, version: str) -> None:
        began_s = self.clock.monotonic_s()
        turn: Turn | None = None
        try:
            directory = await asyncio.to_thread(self.staging.fetched, self.store, version)
            self._note_stage("fetch", began_s)
            if self.turns is not None:
                turn = await asyncio.to_thread(self._take_turn, self.turns)
                if turn is None:
                    # Another one swaps now; ours is staged, and comes at one of the next looks.
                    return
            await self.swap(directory)
        except RankGRError as error:
            await asyncio.to_thread(self._note_error, move, version, error)
        except OSError as error:
            self._note_failure(version, error.strerror or str(error))
        except (RuntimeError, ValueError, TypeError, KeyError, MemoryError) as error:
            # A library that breaks on this model, or memory that does not hold two: no reason to stop following.
            log.exception("reading or warming up failed", extra={"bundle": version})
            refusal = BadBundle(f"{type(error).__name__} while it was read or warmed up; the log says where")
            await asyncio.to_thread(self._note_error, move, version, refusal)
        else:
            self.served, self._failures, self._refused = version, 0, None
            self._note("swapped")
            log.info("bundle swapped", extra={"bundle": version, "seconds": self.clock.monotonic_s() - began_s})
            await asyncio.to_thread(self.staging.serves, version)
        finally:
            if turn is not None:
                await asyncio.to_thread(self._end_turn, turn)

    def _take_turn(self, turns: Turns) -> Turn | None:
        now_ms = self.clock.now_ms()
        return self.store.take_turn(turns.holder, now_ms + round(turns.seconds * 1000), now_ms)

    def _end_turn(self, turn: Turn) -> None:
        try:
            self.store.end_turn(turn)
        except BundleStoreDown as error:
            log.warning("the turn to swap was not given back, it runs out by itself: %s", error)

    def _note_error(self, move: Move, version: str, error: RankGRError) -> None:
        if error.retriable:
            self._note_failure(version, str(error))
            return
        self._refused, self._failures = move, 0
        self._note("refused")
        log.error("bundle refused, the old one goes on: %s", error, extra={"bundle": version})
        if isinstance(error, BadBundle):
            # Damaged on its way, it may: promoted again, it is fetched anew.
            self.staging.discard(version)

    def _note_failure(self, version: str, why: str) -> None:
        self._failures += 1
        pause_s = min(LONGEST_PAUSE_S, self.poll_s * 2**self._failures)
        self._next_try_s = self.clock.monotonic_s() + pause_s
        self._note("failed")
        log.warning("bundle not swapped, tried again in %.1f s: %s", pause_s, why, extra={"bundle": version})

    def _note_store_down(self, error: BundleStoreDown) -> None:
        if self.metrics is not None:
            self.metrics.note_store_failure()
        if not self._store_is_down:
            # Once: a line per look would be a flood just when things are bad.
            log.warning("the old bundle goes on: %s", error)
        self._store_is_down = True

    def _note(self, outcome: str) -> None:
        if self.metrics is not None:
            self.metrics.note(outcome)

    def _note_stage(self, stage: str, began_s: float) -> None:
        if self.metrics is not None:
            self.metrics.note_stage(stage, self.clock.monotonic_s() - began_s)
