"""The use case behind new and retired items: what a channel serves, with another catalogue, through the gate, served.

The command line calls it.  Whoever publishes at the same moment is not overwritten: the change is made again, on top of
what came in between.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contracts.errors import ItemsRefused, NoSuchBundle, PointerMoved
from model.bundle.change_items import ChangeCatalog, changed_catalog, write_with_catalog
from model.data.new_items import BadRow
from services.bundles.canary import wanted
from services.bundles.promote import PromoteBundle, Promoted
from services.gateways.bundle_store.port import Channel, Move, now_at
from services.runtime.clock import Clock

log = logging.getLogger(__name__)

TRIES = 5


@dataclass(frozen=True, slots=True)
class ItemsChanged:
    """`promoted` None: there was nothing to do.  `items`: how many came or went; `refused`: those left out."""

    promoted: Promoted | None
    items: int
    refused: tuple[BadRow, ...]
    before: str


@dataclass(frozen=True, slots=True)
class ChangeItems:
    """`tries`: how often it begins, where others move the channel meanwhile."""

    promote: PromoteBundle
    clock: Clock
    tries: int = TRIES

    def __call__(
        self, change: ChangeCatalog, channel: Channel = Channel.LATEST, *, skip_bad: bool = False,
        hold_s: float | None = None,
    ) -> ItemsChanged:  # fmt: skip
        """Change what the channel's followers serve, and move the channel there.

        Raises ItemsRefused where an item is refused and `skip_bad` is not said, NoSuchBundle where nothing is served,
        PointerMoved where all tries were overtaken, what `change` raises, and what PromoteBundle does.
        """
        for left in reversed(range(self.tries)):
            try:
                return self._once(change, channel, skip_bad, hold_s)
            except PointerMoved:
                if not left:
                    raise
                log.warning("%s was moved by somebody else meanwhile: the items are changed in what it is now", channel)
        raise ValueError("tries must be positive")

    def _once(self, change: ChangeCatalog, channel: Channel, skip_bad: bool, hold_s: float | None) -> ItemsChanged:
        moves = self.promote.store.moves(channel)
        version = self._served(channel, moves)
        with tempfile.TemporaryDirectory(prefix="rankgr-items-") as place:
            fetched, made = Path(place) / "served", Path(place) / "changed"
            self.promote.store.fetch(version, fetched)
            found = changed_catalog(fetched, change)
            if found.refused and not skip_bad:
                raise ItemsRefused(tuple(map(str, found.refused)))
            if not len(found.changed):
                return ItemsChanged(None, 0, found.refused, version)
            now = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)
            write_with_catalog(fetched, found.catalog, made, now)
            promoted = self.promote(made, channel, hold_s=hold_s, seen=moves)
        return ItemsChanged(promoted, len(found.changed), found.refused, version)

    def _served(self, channel: Channel, moves: tuple[Move, ...]) -> str:
        """Its followers' version: a canary that nobody follows any more is no place to begin."""
        if channel is Channel.CANARY:
            move = wanted(channel, self.promote.store.moves(Channel.LATEST), moves)
            version = None if move is None else move.version
        else:
            version = now_at(moves)
        if version is None:
            raise NoSuchBundle(f"the bundle store has no {channel.value}: promote a bundle first")
        return version
