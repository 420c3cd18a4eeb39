"""Pages out of a list: excluded items leave, and the page is filled up again.  Used by `serve_candidates`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from contracts.ids import ItemId

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """What is shown, and where the next page starts (None: nothing is left to show)."""

    rows: tuple[Row, ...]
    next_offset: int | None


def window(limit: int, exclude: frozenset[ItemId]) -> int:
    """How many rows must be read so that `limit` remain and it is known whether one follows.

    A list names an item once, so at most `len(exclude)` rows of any window leave it.
    """
    return limit + len(exclude) + 1


def fill_page(
    rows: Sequence[Row], offset: int, limit: int, exclude: frozenset[ItemId], item_of: Callable[[Row], ItemId]
) -> Page[Row]:
    """The first `limit` of these rows that are not excluded; `rows` start at `offset` of the list."""
    kept: list[Row] = []
    last = offset
    for place, row in enumerate(rows, start=offset):
        if item_of(row) in exclude:
            continue
        if len(kept) == limit:
            return Page(tuple(kept), last + 1)
        kept.append(row)
        last = place
    return Page(tuple(kept), None)
