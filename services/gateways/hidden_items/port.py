"""Hidden items: operators hide and show them, whoever serves items follows the set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from contracts.ids import ItemId

MAX_HIDDEN = 100_000


@dataclass(frozen=True, slots=True)
class Version:
    """When the set was first changed (`born`, Unix ms by the store's clock), and how often it has been since.

    Both are 0 for a set that was never changed, and for a store that has lost its memory.  A store that was changed
    after it lost its memory shows by its later birth that it knows less than before, however often it was changed.
    """

    born: int = 0
    number: int = 0

    def forgot(self, known: Version) -> bool:
        """Whether a store with this version has lost what was known at `known`."""
        if self.number == 0 or known.number == 0:
            return known.number > 0
        return (known.born, -known.number) < (self.born, -self.number)


NEVER_CHANGED = Version()


@dataclass(frozen=True, slots=True)
class HiddenSet:
    """The set as it was at a version.  `since` says from when on an item is hidden (Unix ms; 0: at once)."""

    version: Version
    since: Mapping[ItemId, int]


class HiddenItems(Protocol):
    """One set for all.  Every call raises StoreDown, and nothing else, but for what `change` says."""

    async def change(self, hide: Mapping[ItemId, int], show: Collection[ItemId]) -> int:
        """Hide these from the given times on (Unix ms; 0: at once), show those again; how many are hidden then.

        One step: whoever reads the set sees all of it or nothing.  Raises BadRequest, changing nothing, where more
        than MAX_HIDDEN items would be hidden.
        """
        ...

    async def version(self) -> Version:
        """The set's version: what followers ask often."""
        ...

    async def read(self) -> HiddenSet:
        """The whole set."""
        ...

    async def restore(self, known: HiddenSet) -> None:
        """Give back what a store has forgotten: where its version says so, these items are added to its set, which is
        then as old as the known one was.  Nothing happens where it has forgotten nothing.
        """
        ...

    async def ping(self) -> None:
        """Raise StoreDown when the store cannot be used now."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...


class KeptHiddenSet(Protocol):
    """The last known set, where it outlives this process.  Its calls block, and raise KeptSetFailed."""

    def read(self) -> HiddenSet | None:
        """The set, or None where none was kept yet."""
        ...

    def write(self, known: HiddenSet) -> None:
        """Keep this one instead: whoever reads meanwhile gets the old one or the new one."""
        ...


def too_many(hidden: int) -> str:
    """What is said where the bound is passed."""
    return f"hide: {hidden} items would be hidden, {MAX_HIDDEN} may be; retire items in the catalogue instead"
