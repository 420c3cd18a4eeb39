"""The trie against sets of tuples."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.semantic_id.trie import Trie

Sid = tuple[int, ...]
CODES = st.integers(1, 3).flatmap(
    lambda levels: st.lists(st.tuples(*[st.integers(0, 4)] * levels), min_size=1, max_size=40)
)


def sid_of(trie: Trie, level: int, node: int) -> Sid:
    """Codes on the way from the root to a node, by its parents."""
    codes: list[int] = []
    for above in range(level, 0, -1):
        codes.append(int(trie.code[above - 1][node]))
        node = int(trie.parent[above - 1][node])
    return tuple(reversed(codes))


def trie_of(sids: list[Sid], weights: list[int] | None = None) -> Trie:
    sizes = (5,) * len(sids[0])
    return Trie.of(np.array(sids, dtype=np.int32), sizes, None if weights is None else np.array(weights))


@given(CODES)
def test_nodes_are_the_distinct_prefixes_in_order(sids: list[Sid]) -> None:
    trie = trie_of(sids)
    for level in range(1, trie.levels + 1):
        expected = sorted({sid[:level] for sid in sids})
        assert [sid_of(trie, level, node) for node in range(len(trie.code[level - 1]))] == expected
    assert [tuple(sid) for sid in trie.sids.tolist()] == sorted(set(sids))


@given(CODES)
def test_children_are_the_codes_that_go_on(sids: list[Sid]) -> None:
    trie = trie_of(sids)
    after: dict[Sid, set[int]] = defaultdict(set)
    for sid in sids:
        for level, code in enumerate(sid):
            after[sid[:level]].add(code)
    assert trie.children(0, 0).tolist() == sorted(after[()])
    assert np.flatnonzero(trie.first_codes).tolist() == sorted(after[()])
    for level in range(1, trie.levels):
        for node in range(len(trie.code[level - 1])):
            assert trie.children(level, node).tolist() == sorted(after[sid_of(trie, level, node)])


@given(CODES)
def test_items_of_a_sid_stand_most_popular_first(sids: list[Sid]) -> None:
    weights = [hash((sid, row)) % 3 for row, sid in enumerate(sids)]
    trie = trie_of(sids, weights)
    for number, sid in enumerate(trie.sids.tolist()):
        rows = trie.item_rows[trie.item_start[number] : trie.item_start[number + 1]].tolist()
        mine = [row for row, other in enumerate(sids) if other == tuple(sid)]
        assert rows == sorted(mine, key=lambda row: (-weights[row], row))
        assert all(trie.sid_of_row[row] == number for row in mine)


@given(CODES, st.data())
@settings(max_examples=200)
def test_removed_items_leave_exactly_the_prefixes_that_lead_somewhere(sids: list[Sid], data: st.DataObject) -> None:
    trie = trie_of(sids)
    gone = data.draw(st.lists(st.integers(0, len(sids) - 1)))
    removed = trie.without(gone)
    kept = [sid for row, sid in enumerate(sids) if row not in set(gone)]
    assert removed.rows.tolist() == sorted(set(gone))
    assert removed.nothing == (not gone)
    for level in range(1, trie.levels + 1):
        alive = trie.living(level, removed)
        found = {sid_of(trie, level, int(node)) for node in np.flatnonzero(alive)}
        assert found == {sid[:level] for sid in kept}
        assert np.array_equal(np.flatnonzero(~alive), removed.dead[level - 1])


def test_an_empty_trie_has_no_children() -> None:
    trie = Trie.of(np.empty((0, 2), np.int32), (3, 3))
    assert len(trie.sids) == 0
    assert trie.children(0, 0).tolist() == []
    assert trie.without([]).nothing


def test_a_row_that_does_not_exist_cannot_be_removed() -> None:
    with pytest.raises(ValueError, match="rows"):
        trie_of([(0, 1)]).without([1])


@given(CODES, st.data())
def test_leaving_out_more_is_leaving_out_both(sids: list[Sid], data: st.DataObject) -> None:
    trie = trie_of(sids)
    rows = st.lists(st.integers(0, len(sids) - 1), max_size=2 * len(sids))
    first, more = data.draw(rows), data.draw(rows)
    found, expected = trie.without_also(trie.without(first), more), trie.without(first + more)
    assert found.rows.tolist() == expected.rows.tolist()
    assert [dead.tolist() for dead in found.dead] == [dead.tolist() for dead in expected.dead]
    assert found.rows.dtype == expected.rows.dtype
    assert [dead.dtype for dead in found.dead] == [dead.dtype for dead in expected.dead]


def test_more_rows_than_there_are_cannot_be_left_out() -> None:
    trie = trie_of([(0, 1)])
    with pytest.raises(ValueError, match="item rows"):
        trie.without_also(trie.without([]), [1])
