"""Pages out of a list: excluded and hidden items leave, and the page is filled up.  Used by `serve_candidates`."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import msgspec

from contracts.ids import ItemId


class LeftOut(msgspec.Struct, frozen=True, gc=False):
    """What is not shown: what the caller asked to leave out, and what is hidden; `stamp` names the latter."""

    excluded: AbstractSet[ItemId]
    hidden: AbstractSet[ItemId]
    stamp: str = "0"

    @property
    def nothing(self) -> bool:
        """Whether every item may be shown."""
        return not self.excluded and not self.hidden

    def leaves(self, items: Sequence[ItemId]) -> bool:
        """Whether all of these may be shown."""
        return self.hidden.isdisjoint(items) and self.excluded.isdisjoint(items)


# A page is read with so many rows more than can be missing by what is known: hidden items are few, mostly.
HIDDEN_SPARE = 16


def window(limit: int, left_out: LeftOut) -> int:
    """How many rows to read so that most probably `limit` remain, and it is known whether one follows.

    A list names an item once, so at most `len(excluded)` rows of any window leave it for that.
    """
    if left_out.nothing:
        return limit
    return limit + len(left_out.excluded) + min(len(left_out.hidden), HIDDEN_SPARE) + 1


@dataclass(frozen=True, slots=True)
class Filled:
    """`places` of the rows that are shown (None: the first `count` as they are); where the next page begins.

    `next_offset` is None where nothing is left to show, -1 where that needs more rows than were read.
    """

    places: Sequence[int] | None
    count: int
    next_offset: int | None

    def continued_at(self, offset: int) -> Filled:
        """The same, with another page to come."""
        return replace(self, next_offset=offset)


MORE_NEEDED = -1


def fill_page(items: Sequence[ItemId], offset: int, limit: int, left_out: LeftOut, length: int) -> Filled:
    """The first `limit` of these that may be shown; `items` start at `offset` of a list of `length`."""
    read_all = offset + len(items) >= length
    if left_out.leaves(items):
        count = min(limit, len(items))
        if offset + count >= length:
            return Filled(None, count, None)
        # With nothing left out, or with one more that may be shown, the next page is not empty.
        known = left_out.nothing or count < len(items)
        return Filled(None, count, offset + count if known else MORE_NEEDED)
    kept = [place for place, item in enumerate(items) if left_out.leaves((item,))]
    if len(kept) > limit:
        return Filled(kept[:limit], limit, offset + kept[limit - 1] + 1)
    return Filled(kept, len(kept), None if read_all else MORE_NEEDED)
