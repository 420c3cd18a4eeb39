"""Hidden items as the engine's filter: a bit per catalogue row, made anew only where what is hidden has changed.

Used by `precompute_candidates`; whoever builds it follows the shared set of hidden items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.ids import ItemId
from model.semantic_id.catalog import Catalog
from model.semantic_id.item_filter import ItemFilter


@dataclass(slots=True)
class HiddenFilter:
    """`hidden` gives the same object as long as nothing has changed."""

    catalog: Catalog
    hidden: Callable[[], frozenset[ItemId]]
    _made_of: frozenset[ItemId] = frozenset()
    _bitmap: bytes | None = None

    def __call__(self) -> bytes | None:
        """The bitmap for now; None where no item of the catalogue is hidden."""
        hidden = self.hidden()
        if hidden is not self._made_of:
            self._made_of = hidden
            bitmap = ItemFilter.of_items(self.catalog, hidden).bitmap
            self._bitmap = bitmap if any(bitmap) else None
        return self._bitmap
