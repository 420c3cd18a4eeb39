"""What a request leaves out: hidden, filtered and excluded together; known filters are not worked out anew."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import BadRequest
from model.decoding.left_out import FILTERS_KEPT, LeftOut
from model.decoding.request import DecodePlan, DecodeRequest, plan_of
from model.semantic_id.item_filter import ItemFilter
from model.semantic_id.trie import Trie

from .small_worlds import World

CONFIG, CATALOG = World().config(), World().catalog()
TRIE = Trie.of_catalog(CATALOG)


def plan(excluded: list[int], item_filter: ItemFilter | None) -> DecodePlan:
    request = DecodeRequest(np.array([1]), exclude=frozenset(excluded), item_filter=item_filter)
    return plan_of(request, CONFIG)


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("filtered", [None, 0, 20, len(CATALOG)])
@pytest.mark.parametrize("excluded", [0, 9])
def test_it_is_all_three_together(hidden: int, filtered: int | None, excluded: int) -> None:
    chance = np.random.default_rng(3)
    draw = [chance.choice(CATALOG.item_id, size or 0, replace=False).tolist() for size in (hidden, filtered, excluded)]
    item_filter = None if filtered is None else ItemFilter.of_items(CATALOG, draw[1])
    found = LeftOut(CATALOG, TRIE, [*draw[0], -7]).of(plan([*draw[2], 10**12], item_filter))
    expected = TRIE.without(CATALOG.rows_of([*draw[0], *draw[1], *draw[2]]))
    assert found.rows.tolist() == expected.rows.tolist()
    assert [dead.tolist() for dead in found.dead] == [dead.tolist() for dead in expected.dead]


def test_a_filter_that_came_before_is_known() -> None:
    left_out = LeftOut(CATALOG, TRIE, [])
    filters = [ItemFilter.of_rows([row], len(CATALOG)) for row in range(FILTERS_KEPT + 1)]
    first = left_out.of(plan([], filters[0]))
    # An equal filter of another request, not the same object.
    assert left_out.of(plan([], ItemFilter(bytes(bytearray(filters[0].bitmap))))) is first
    for other in filters[1:]:
        left_out.of(plan([], other))
    assert left_out.of(plan([], filters[0])) is not first, "only the last few are kept"


def test_a_bad_filter_is_kept_by_nobody() -> None:
    left_out = LeftOut(CATALOG, TRIE, [])
    for _ in range(2):
        with pytest.raises(BadRequest, match="filter"):
            left_out.of(plan([], ItemFilter(b"")))
