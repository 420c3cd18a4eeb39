"""The use case behind a promotion by hand in the console: a channel moves to a version that the store has.

Nothing is judged here, and no weights are read: a version was read whole and judged when it was published, and whoever
swaps to it checks its files again.  `PromoteBundle` judges anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.gateways.bundle_store.port import BundleStore, Channel, Move, next_move, now_at
from services.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class PromoteStored:
    """Raises NoSuchBundle, PointerMoved, BundleStoreDown."""

    store: BundleStore
    clock: Clock
    by: str

    def __call__(self, version: str, channel: Channel = Channel.LATEST) -> bool:
        """Move the channel there; False where it stands there already."""
        moves = self.store.moves(channel)
        if now_at(moves) == version:
            return False
        at_ms = self.clock.now_ms()
        move = Move(number=next_move(moves), version=version, at_ms=at_ms, by=self.by, note="not judged again")
        self.store.move(channel, move)
        return True
