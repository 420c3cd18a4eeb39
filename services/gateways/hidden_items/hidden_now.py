"""What may not be served at this moment: the shared set of hidden items, followed by whoever serves items.

Mains of retrieval and precompute run it beside the app; their verbs read `now`.  While the store is down the last known
set goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from contracts.errors import StoreDown
from contracts.ids import ItemId
from services.gateways.hidden_items.port import HiddenItems, HiddenSet
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
    now: Hidden = field(default_factory=Hidden, init=False)
    known: HiddenSet | None = field(default=None, init=False)
    looked_s: float | None = field(default=None, init=False)
    """When the store last said what the set is (monotonic)."""
    _taken: HiddenSet | None = field(default=None, init=False)
    _next_at: int | None = field(default=None, init=False)

    async def look(self) -> None:
        """Ask once.  Raises StoreDown; items whose time has come are hidden all the same."""
        try:
            version = await self.store.version()
            if self.known is not None and version < self.known.version:
                # It was started again empty, and whoever remembers tells it.
                await self.store.restore(self.known)
                _log.warning("hidden items restored", extra={"items": len(self.known.since)})
                version = -1
            if self.known is None or version != self.known.version:
                self.known = await self.store.read()
            self.looked_s = self.clock.monotonic_s()
        finally:
            if self.known is not None:
                self._take(self.known)

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
            await asyncio.sleep(LOOK_EVERY_S)

    def _take(self, known: HiddenSet) -> None:
        now_ms = self.clock.now_ms()
        if known is self._taken and (self._next_at is None or now_ms < self._next_at):
            return
        hidden = frozenset(item for item, since in known.since.items() if since <= now_ms)
        self._next_at = min((since for since in known.since.values() if since > now_ms), default=None)
        self._taken = known
        self.now = Hidden(hidden, f"{known.version:x}.{len(hidden):x}")
