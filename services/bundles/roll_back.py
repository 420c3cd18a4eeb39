"""The use case behind a rollback: `latest` goes back to what stood before; a canary is taken back.

Nothing is judged: what is gone back to has served before.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.errors import NoSuchBundle
from services.gateways.bundle_store.port import BundleStore, Channel, Move, before, next_move, now_at
from services.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class RolledBack:
    """From where to where; `to` is None where a canary was taken back."""

    channel: Channel
    was: str | None
    to: str | None


@dataclass(frozen=True, slots=True)
class RollBack:
    """Raises NoSuchBundle where there is nothing to go back to, PointerMoved, BundleStoreDown."""

    store: BundleStore
    clock: Clock
    by: str

    def __call__(self, to: str | None = None) -> RolledBack:
        """Move `latest` to this version, or to the one that stood before the one of now."""
        moves = self.store.moves(Channel.LATEST)
        target = to or before(moves)
        if target is None:
            raise NoSuchBundle("there is no version before the one that is served")
        self._move(Channel.LATEST, moves, target, "rollback")
        return RolledBack(Channel.LATEST, now_at(moves), target)

    def withdraw(self) -> RolledBack:
        """Take the canary back: who followed it goes on with `latest`."""
        moves = self.store.moves(Channel.CANARY)
        if now_at(moves) is None:
            raise NoSuchBundle("there is no canary")
        self._move(Channel.CANARY, moves, None, "withdraw")
        return RolledBack(Channel.CANARY, now_at(moves), None)

    def _move(self, channel: Channel, moves: tuple[Move, ...], to: str | None, kind: str) -> None:
        move = {"number": next_move(moves), "version": to, "at_ms": self.clock.now_ms(), "kind": kind, "by": self.by}
        self.store.move(channel, Move.model_validate(move))
