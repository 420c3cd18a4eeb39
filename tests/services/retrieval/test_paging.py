"""Pages leave out what is excluded or hidden, are filled up, and together hold the rest of the list once each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import ItemId
from services.retrieval.paging import MORE_NEEDED, LeftOut, fill_page, window

ids = st.integers(0, 60).map(ItemId)
lists = st.lists(ids, unique=True, max_size=60)


@given(lists, st.integers(1, 12), st.frozensets(ids, max_size=20), st.frozensets(ids, max_size=40))
def test_all_pages_together_are_the_list_without_what_is_left_out(
    items: list[ItemId], limit: int, excluded: frozenset[ItemId], hidden: frozenset[ItemId]
) -> None:
    left_out = LeftOut(excluded, hidden)
    pages: list[list[ItemId]] = []
    offset: int | None = 0
    while offset is not None:
        rows = items[offset : offset + window(limit, left_out)]
        page = fill_page(rows, offset, limit, left_out, len(items))
        if page.next_offset == MORE_NEEDED:
            rows = items[offset:]
            page = fill_page(rows, offset, limit, left_out, len(items))
        places = range(page.count) if page.places is None else page.places
        pages.append([rows[place] for place in places])
        offset = page.next_offset
    wanted = [item for item in items if item not in excluded and item not in hidden]
    assert [item for page in pages for item in page] == wanted
    # Every page but the last is full, and the last is empty only where there is nothing at all.
    assert all(len(page) == limit for page in pages[:-1])
    assert pages[-1] or not wanted
