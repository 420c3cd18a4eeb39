"""The history store in this process: for tests, and the plain statement of what the one in Redis does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.ids import UserId
from services.gateways.history.port import PastInteraction
from services.runtime.clock import Clock


@dataclass(slots=True)
class _Timeline:
    """A user's interactions, the newest one dropped from their front, and when all is gone (Unix ms)."""

    kept: set[PastInteraction] = field(default_factory=set)
    floor: PastInteraction | None = None
    gone_at: int = 0


class MemoryHistoryStore:
    """Keeps a set per user and sorts it when asked."""

    def __init__(self, clock: Clock, *, keep: int = 1000, drop_block: int = 128, ttl_s: float = 30 * 86_400.0) -> None:
        self._clock = clock
        self._keep = keep
        self._drop_block = drop_block
        self._ttl_ms = round(ttl_s * 1000)
        self._timelines: dict[UserId, _Timeline] = {}

    async def remember(self, user: UserId, interactions: Sequence[PastInteraction]) -> None:
        """See the port."""
        if not interactions:
            return
        timeline = self._living(user) or self._timelines.setdefault(user, _Timeline())
        timeline.gone_at = self._clock.now_ms() + self._ttl_ms
        floor = timeline.floor
        timeline.kept.update(one for one in interactions if floor is None or _order(one) > _order(floor))
        blocks = max(0, len(timeline.kept) - self._keep) // self._drop_block
        if blocks:
            dropped = sorted(timeline.kept, key=_order)[: blocks * self._drop_block]
            timeline.kept.difference_update(dropped)
            timeline.floor = dropped[-1]

    async def recent(self, user: UserId) -> list[PastInteraction]:
        """See the port."""
        timeline = self._living(user)
        return sorted(timeline.kept, key=_order) if timeline else []

    async def ping(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing to free."""

    def _living(self, user: UserId) -> _Timeline | None:
        timeline = self._timelines.get(user)
        if timeline is not None and timeline.gone_at <= self._clock.now_ms():
            del self._timelines[user]
            return None
        return timeline


def _order(interaction: PastInteraction) -> tuple[int, int, str]:
    return interaction.timestamp, interaction.item_id, interaction.behavior
