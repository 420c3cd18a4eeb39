"""What may not be served at this moment: the shared set of hidden items, followed by whoever serves items.

Mains of retrieval and precompute run it beside the app; their verbs read `now`.  While the store is down the last known
set goes on; where it is kept, it also outlives the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from contracts.errors import KeptSetFailed, StoreDown
from contracts.ids import ItemId
from services.gateways.hidden_items.port import NEVER_CHANGED, HiddenItems, HiddenSet, KeptHiddenSet, Version
from services.runtime.clock import Clock

# A hidden item must be gone within a second, answer times and a busy machine included.
LOOK_EVERY_S = 0.2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hidden:
    """Items that are hidden now; `stamp` differs wherever the items do."""

    items: frozenset[ItemId] = frozenset()
    stamp: str = "0"


@dataclass(slots=True)
class HiddenNow:
    """Follows the set."""

    store: HiddenItems
    clock: Clock
    kept: KeptHiddenSet | None = None
    now: Hidden = field(default_factory=Hidden, init=False)
    known: HiddenSet | None = field(default=None, init=False)
    looked_s: float | None = field(default=None, init=False)
    """When the store last said what the set is (monotonic)."""
    _taken: HiddenSet | None = field(default=None, init=False)
    _next_at: int | None = field(default=None, init=False)
    _written: Version = field(default=NEVER_CHANGED, init=False)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _failing: bool = field(default=False, init=False)

    def recall(self) -> None:
        """Begin with the set that was kept, until the store says better; call it before the process serves."""
        if self.kept is None:
            return
        try:
            self.known = self.kept.read()
        except KeptSetFailed as error:
            _log.error("hidden items not recalled, the store alone knows them", extra={"reason": str(error)})
        if self.known is not None:
            self._written = self.known.version
            self._take(self.known)
            _log.info("hidden items recalled", extra={"items": len(self.known.since)})

    async def look(self) -> None:
        """Ask once.  Raises StoreDown; items whose time has come are hidden all the same."""
        try:
            version = await self.store.version()
            if self.known is not None and version.forgot(self.known.version):
                # It was started again empty, and whoever remembers tells it.
                await self.store.restore(self.known)
                _log.warning("hidden items restored", extra={"items": len(self.known.since)})
                self.known = await self.store.read()
            elif self.known is None or version != self.known.version:
                self.known = await self.store.read()
            self.looked_s = self.clock.monotonic_s()
        finally:
            if self.known is not None:
                self._take(self.known)
        await self._keep()

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
            try:
                await self.look()
            except StoreDown as error:
                # The breaker's metrics tell; a line per look would be a flood just when things are bad.
                _log.debug("the hidden items are not known anew: %s", error)
            except Exception:  # noqa: BLE001 - a bug must not end the following: what is hidden later would be served
                _log.exception("a look at the hidden items failed unexpectedly")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _keep(self) -> None:
        """Write the set where it is kept, if it has changed; what cannot be written is said once."""
        if self.kept is None:
            return
        async with self._writing:
            known = self.known
            if known is None or known.version == self._written:
                return
            try:
                await asyncio.to_thread(self.kept.write, known)
            except KeptSetFailed as error:
                if not self._failing:
                    _log.error("hidden items not kept for the next start", extra={"reason": str(error)})
                self._failing = True
            else:
                self._written, self._failing = known.version, False

    def _take(self, known: HiddenSet) -> None:
        now_ms = self.clock.now_ms()
        if known is self._taken and (self._next_at is None or now_ms < self._next_at):
            return
        hidden = frozenset(item for item, since in known.since.items() if since <= now_ms)
        self._next_at = min((since for since in known.since.values() if since > now_ms), default=None)
        self._taken = known
        self.now = Hidden(hidden, f"{known.version.born:x}.{known.version.number:x}.{len(hidden):x}")
