"""Hidden items: operators hide and show them, whoever serves items follows the set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from contracts.ids import ItemId

MAX_HIDDEN = 100_000


@dataclass(frozen=True, slots=True)
class HiddenSet:
    """The set as it was at a version.  `since` says from when on an item is hidden (Unix ms; 0: at once).

    Versions grow with every change; 0 is the set that was never changed, or a store that has lost its memory.
    """

    version: int
    since: Mapping[ItemId, int]


class HiddenItems(Protocol):
    """One set for all.  Every call raises StoreDown, and nothing else, but for what `change` says."""

    async def change(self, hide: Mapping[ItemId, int], show: Collection[ItemId]) -> int:
        """Hide these from the given times on (Unix ms; 0: at once), show those again; how many are hidden then.

        One step: whoever reads the set sees all of it or nothing.  Raises BadRequest, changing nothing, where more
        than MAX_HIDDEN items would be hidden.
        """
        ...

    async def version(self) -> int:
        """The set's version: what followers ask often."""
        ...

    async def read(self) -> HiddenSet:
        """The whole set."""
        ...

    async def restore(self, known: HiddenSet) -> None:
        """Give back what a store has forgotten: where its version is lower than `known`'s, these items are added to
        its set.  Nothing happens where it is not.
        """
        ...

    async def ping(self) -> None:
        """Raise StoreDown when the store cannot be used now."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...


def too_many(hidden: int) -> str:
    """What is said where the bound is passed."""
    return f"hide: {hidden} items would be hidden, {MAX_HIDDEN} may be; retire items in the catalogue instead"
