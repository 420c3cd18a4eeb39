"""A filter is one bit per catalogue row, and belongs to a catalogue of its size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadRequest
from model.semantic_id.catalog import Catalog
from model.semantic_id.item_filter import ItemFilter


@given(items=st.integers(1, 70), seed=st.integers(0, 10**6))
def test_the_rows_that_go_in_come_out(items: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(rng.random(items) < 0.4)
    made = ItemFilter.of_rows(rng.permutation(rows), items)
    assert made.rows(items).tolist() == rows.tolist()
    assert len(made.bitmap) == (items + 7) // 8


def test_bits_stand_where_the_page_says() -> None:
    made = ItemFilter.of_rows([0, 9, 15], 17)
    assert made.bitmap == bytes([0b00000001, 0b10000010, 0])
    assert made == ItemFilter(bytes([1, 130, 0]))
    assert hash(made) == hash(ItemFilter(bytes([1, 130, 0])))


def test_items_that_the_catalogue_does_not_know_need_no_bit() -> None:
    catalog = Catalog(np.array([5, 7, 9]), np.zeros((3, 1), np.int32), np.zeros(3, np.float32), (1,))
    assert ItemFilter.of_items(catalog, [9, 6, -(2**63), 5]).rows(3).tolist() == [0, 2]
    assert ItemFilter.of_items(catalog, []).rows(3).tolist() == []


@pytest.mark.parametrize(
    ("bitmap", "reason"),
    [(b"", "need 2 bytes"), (bytes(3), "it has 3"), (bytes([0, 4]), "bit 10 is set, the catalogue has 10 items")],
)
def test_a_filter_of_another_size_is_refused_by_name(bitmap: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=f"^filter: .*{reason}"):
        ItemFilter(bitmap).rows(10)
