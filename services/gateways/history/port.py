"""The history store: what a user did lately, sorted by time, without duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.behaviors import Behavior
from contracts.ids import ItemId, UserId


@dataclass(frozen=True, slots=True)
class PastInteraction:
    """One thing a user did; (item, behaviour, timestamp in Unix milliseconds) is its identity."""

    item_id: ItemId
    behavior: Behavior
    timestamp: int


class HistoryStore(Protocol):
    """Recent interactions of each user, oldest first; equal times keep the order (item id, behaviour).

    Remembering the same interaction twice changes nothing.  At least the newest `keep` interactions are kept,
    whatever the order in which they arrived.  The front is dropped in whole blocks of `drop_block`, so that a
    prompt's beginning, and with it an engine's cached prefix, moves seldom (how many of the fewer than
    `drop_block` before the newest `keep` are there does depend on the order of arrival).  What is older than
    something dropped is not added again.  Raises StoreDown, and nothing else.
    """

    async def remember(self, user: UserId, interactions: Sequence[PastInteraction]) -> None:
        """Add what is new of these."""
        ...

    async def recent(self, user: UserId) -> list[PastInteraction]:
        """All that is kept, oldest first; empty for an unknown user."""
        ...

    async def ping(self) -> None:
        """Raise StoreDown when the store cannot be used now."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...
