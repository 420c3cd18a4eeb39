"""Which version a channel's follower serves, and when a canary that nobody objected to becomes `latest`.

Followers ask `wanted`; whoever promotes through a canary calls `PromoteCanary` now and then.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.gateways.bundle_store.port import BundleStore, Channel, Move, next_move
from services.runtime.clock import Clock


def wanted(channel: Channel, latest: tuple[Move, ...], canary: tuple[Move, ...]) -> Move | None:
    """The move that a follower of `channel` goes by; None where nothing was promoted yet.

    A canary counts while it is younger than `latest`: a promotion or a rollback after it brings everybody together.
    """
    first = channel is Channel.CANARY and canary and canary[-1].version is not None
    if first and (not latest or canary[-1].at_ms >= latest[-1].at_ms):
        return canary[-1]
    return latest[-1] if latest and latest[-1].version is not None else None


@dataclass(frozen=True, slots=True)
class PromoteCanary:
    """Raises PointerMoved, NoSuchBundle, BundleStoreDown."""

    store: BundleStore
    clock: Clock
    by: str

    def __call__(self) -> str | None:
        """Move `latest` to the canary, if its time is over and it still counts; the version, or None."""
        latest, canary = self.store.moves(Channel.LATEST), self.store.moves(Channel.CANARY)
        move = wanted(Channel.CANARY, latest, canary)
        if move is None or not canary or move != canary[-1] or move.hold_s is None or move.version is None:
            return None
        if latest and latest[-1].version == move.version:
            return None
        now_ms = self.clock.now_ms()
        if now_ms < move.at_ms + move.hold_s * 1000:
            return None
        follows = Move(number=next_move(latest), version=move.version, at_ms=now_ms, by=self.by, note="after a canary")
        self.store.move(Channel.LATEST, follows)
        return move.version
