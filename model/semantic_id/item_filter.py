"""Which items of a catalogue are left out of one request (hidden, expired), as one bit per catalogue row.

Callers build it once per change of what is hidden; decoders turn it into rows.  Means nothing without its catalogue.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.errors import BadRequest
from model.semantic_id.catalog import Catalog, Int64s


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Bit `row % 8` (least significant first) of byte `row // 8` is 1: the item in that row is left out.

    Rows are the catalogue's, ascending by item id.  Equal bitmaps are equal and hash alike: it can key a cache.
    """

    bitmap: bytes

    @classmethod
    def of_rows(cls, rows: npt.ArrayLike, items: int) -> ItemFilter:
        """The filter that leaves these rows out of a catalogue of so many items."""
        gone_N = np.zeros(items, dtype=np.bool_)
        gone_N[np.asarray(rows, dtype=np.int64)] = True
        return cls(np.packbits(gone_N, bitorder="little").tobytes())

    @classmethod
    def of_items(cls, catalog: Catalog, items: Collection[int]) -> ItemFilter:
        """The filter that leaves these items out; those that the catalogue does not know need no bit."""
        rows = catalog.rows_of(np.fromiter(items, dtype=np.int64, count=len(items)))
        return cls.of_rows(rows[rows >= 0], len(catalog))

    def rows(self, items: int) -> Int64s:
        """Rows left out of a catalogue of so many items, ascending.  Raises BadRequest for another's filter."""
        needed = (items + 7) // 8
        if len(self.bitmap) != needed:
            raise BadRequest(f"filter: {items} items need {needed} bytes of bitmap, it has {len(self.bitmap)}")
        gone_N = np.unpackbits(np.frombuffer(self.bitmap, dtype=np.uint8), bitorder="little")
        rows = np.flatnonzero(gone_N).astype(np.int64)
        if len(rows) and rows[-1] >= items:
            raise BadRequest(f"filter: bit {rows[-1]} is set, the catalogue has {items} items")
        return rows
