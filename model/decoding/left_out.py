"""What is left out of a request: items hidden for all, the request's filter, the request's own exclusions.

The stages ask it once per request.  Filters come again and again, thousands of items long: what the last few mean
for the trie is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from threading import Lock

import numpy as np

from model.decoding.request import DecodePlan
from model.semantic_id.catalog import Catalog, Int64s
from model.semantic_id.item_filter import ItemFilter
from model.semantic_id.trie import Removed, Trie

# The one that is current, and the one before, of two callers: while it changes, requests of both come.
FILTERS_KEPT = 4


class LeftOut:
    """Knows a catalogue and its trie.  Safe to share by threads."""

    def __init__(self, catalog: Catalog, trie: Trie, hidden: Collection[int]) -> None:
        self._catalog = catalog
        self._trie = trie
        self._hidden = trie.without(self._rows_of(hidden))
        self._filtered: OrderedDict[ItemFilter, Removed] = OrderedDict()
        self._lock = Lock()

    def of(self, plan: DecodePlan) -> Removed:
        """All that this request leaves out.  Raises BadRequest for another catalogue's filter."""
        removed = self._hidden if plan.item_filter is None else self._by_filter(plan.item_filter)
        return self._trie.without_also(removed, self._rows_of(plan.exclude)) if plan.exclude else removed

    def _by_filter(self, item_filter: ItemFilter) -> Removed:
        with self._lock:
            known = self._filtered.get(item_filter)
            if known is not None:
                self._filtered.move_to_end(item_filter)
                return known
        rows = item_filter.rows(len(self._catalog))
        removed = self._trie.without(np.concatenate((self._hidden.rows, rows)))
        with self._lock:
            self._filtered[item_filter] = removed
            if len(self._filtered) > FILTERS_KEPT:
                self._filtered.popitem(last=False)
        return removed

    def _rows_of(self, items: Collection[int]) -> Int64s:
        """Rows of the items that the catalogue knows."""
        rows = self._catalog.rows_of(np.fromiter(items, dtype=np.int64, count=len(items)))
        return rows[rows >= 0]
