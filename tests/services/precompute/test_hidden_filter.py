"""Hidden items become one bit per catalogue row, worked out once per change."""

from __future__ import annotations

from contracts.ids import ItemId
from services.precompute.hidden_filter import HiddenFilter

from .world import small_catalog


def test_hidden_items_are_bits_and_nothing_hidden_is_no_filter() -> None:
    # Items 10 to 19 are rows 0 to 9.
    hidden: frozenset[ItemId] = frozenset()
    made = HiddenFilter(small_catalog(), lambda: hidden)
    assert made() is None
    hidden = frozenset({ItemId(12), ItemId(19), ItemId(999)})
    first = made()
    assert first == bytes([0b00000100, 0b00000010])
    assert made() is first, "nothing has changed"
    hidden = frozenset({ItemId(999)})
    assert made() is None, "the catalogue knows none of them"
    hidden = frozenset({ItemId(10)})
    assert made() == bytes([1, 0])
