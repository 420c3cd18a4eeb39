"""Pages leave out what is excluded, are filled up, and together hold the rest of the list once each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import ItemId
from services.retrieval.paging import fill_page, window

lists = st.lists(st.integers(0, 40), unique=True, max_size=40)


@given(lists, st.integers(1, 12), st.frozensets(st.integers(0, 40), max_size=20))
def test_all_pages_together_are_the_list_without_what_is_excluded(
    items: list[int], limit: int, exclude: frozenset[int]
) -> None:
    left_out = frozenset(ItemId(item) for item in exclude)
    pages: list[tuple[int, ...]] = []
    offset: int | None = 0
    while offset is not None:
        rows = items[offset : offset + window(limit, left_out)]
        page = fill_page(rows, offset, limit, left_out, lambda row: ItemId(row))
        pages.append(page.rows)
        offset = page.next_offset
    wanted = [item for item in items if item not in exclude]
    assert [item for page in pages for item in page] == wanted
    # Every page but the last is full, and the last is empty only where there is nothing at all.
    assert all(len(page) == limit for page in pages[:-1])
    assert pages[-1] or not wanted
