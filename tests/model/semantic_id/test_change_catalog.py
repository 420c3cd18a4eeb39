"""Items join and leave a catalogue: who is there keeps its codes, no id gets too many, and the way back leads back."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadDataSet
from model.build.semantic_ids import make_semantic_ids
from model.bundle.semantic_ids import SemanticIds
from model.data.new_items import NewItem
from model.data.synthetic import make_marketplace
from model.semantic_id.catalog import Catalog
from model.semantic_id.change_catalog import ChangedCatalog, with_items, without_items
from model.semantic_id.features import ItemFeatures
from model.semantic_id.new_item_encoder import NewItemEncoder
from model.semantic_id.settings import SidSettings
from model.semantic_id.trie import Trie

ITEMS, CAP, SIZES = 40, 2, (4, 6)
ROOM = prod(SIZES) * CAP - ITEMS
Sids = dict[int, tuple[int, ...]]


@cache
def made() -> SemanticIds:
    data = make_marketplace(users=40, items=ITEMS, seed=3)
    return make_semantic_ids(data, SidSettings(level_sizes=SIZES, cap=CAP, dims=16)).sids


@cache
def texts() -> tuple[str, ...]:
    return make_marketplace(users=40, items=ITEMS, seed=3).items.text


def new_item(item_id: int, text: str, price: float | None = None) -> NewItem:
    return NewItem(f"line {item_id}", item_id, text, text, price)


def sids_of(catalog: Catalog) -> Sids:
    return dict(zip(catalog.item_id.tolist(), map(tuple, catalog.codes.tolist()), strict=True))


def add(catalog: Catalog, items: list[NewItem], cap: int = CAP) -> ChangedCatalog:
    return with_items(catalog, made().encoder, items, cap)


def assert_sound(catalog: Catalog, cap: int = CAP) -> None:
    """What a reader of bundles checks, and that every item is reached by its own id, and none over the cap."""
    assert (np.diff(catalog.item_id) > 0).all()
    assert ((catalog.codes >= 0) & (catalog.codes < np.array(catalog.level_sizes))).all()
    sids = sids_of(catalog)
    assert max(Counter(sids.values()).values(), default=0) <= cap
    assert by_trie(catalog) == sids


def by_trie(catalog: Catalog) -> Sids:
    """Each item under the id by which the trie leads to it."""
    trie = Trie.of_catalog(catalog)
    spans = zip(trie.sids.tolist(), trie.item_start[:-1], trie.item_start[1:], strict=True)
    return {
        int(item): tuple(sid)
        for sid, first, end in spans
        for item in catalog.item_id[trie.item_rows[first:end]].tolist()
    }


@st.composite
def newcomers(draw: st.DrawFn) -> list[NewItem]:
    """Up to as many as there is room for, of texts that crowd into few ids; ids below and above those there are."""
    known = set(made().catalog.item_id.tolist())
    ids = draw(
        st.lists(
            st.integers(10_001 - ITEMS, 10_001 + 2 * ITEMS).filter(lambda one: one not in known),
            max_size=ROOM + 2,
            unique=True,
        )
    )
    few = st.sampled_from([*texts()[:3], *texts()[-3:]])
    return [new_item(one, draw(few), draw(st.sampled_from([None, 3.0, 400.0]))) for one in ids]


@given(newcomers())
def test_who_is_there_stays_and_who_comes_is_reached(items: list[NewItem]) -> None:
    before = made().catalog
    changed = add(before, items)
    assert_sound(changed.catalog)
    after = sids_of(changed.catalog)
    assert {item: after[item] for item in sids_of(before)} == sids_of(before)
    assert changed.changed.tolist() == sorted(one.item_id for one in items)[:ROOM]
    assert set(after) == set(sids_of(before)) | set(changed.changed.tolist())
    assert len(changed.refused) == max(len(items) - ROOM, 0)
    rows = changed.catalog.rows_of(changed.changed)
    assert (changed.catalog.popularity[rows] == 0).all()
    assert (changed.catalog.version == before.version) == (len(changed.changed) == 0)


@given(newcomers(), st.randoms(use_true_random=False))
def test_their_order_says_nothing(items: list[NewItem], chance: random.Random) -> None:
    shuffled = list(items)
    chance.shuffle(shuffled)
    assert add(made().catalog, shuffled).catalog.version == add(made().catalog, items).catalog.version


@given(newcomers(), st.integers(0, 60))
def test_two_steps_lead_to_a_sound_catalogue_of_the_same_items(items: list[NewItem], cut: int) -> None:
    first = add(made().catalog, items[:cut])
    second = add(first.catalog, items[cut:])
    assert_sound(second.catalog)
    assert len(second.catalog) == len(add(made().catalog, items).catalog)
    after = sids_of(second.catalog)
    assert {item: after[item] for item in sids_of(first.catalog)} == sids_of(first.catalog)


@given(newcomers())
def test_who_came_and_left_left_no_trace(items: list[NewItem]) -> None:
    before = made().catalog
    changed = add(before, items)
    back = without_items(changed.catalog, changed.changed)
    assert (back.catalog.version, back.catalog.title, back.refused) == (before.version, before.title, ())


@given(st.sets(st.integers(0, ITEMS - 1)), st.sets(st.integers(-9, -1)))
def test_who_leaves_is_gone_and_an_id_without_items_leaves_the_trie(rows: set[int], unknown: set[int]) -> None:
    before = made().catalog
    gone = before.item_id[sorted(rows)].tolist()
    changed = without_items(before, [*gone, *unknown])
    assert changed.changed.tolist() == gone
    assert [one.where for one in changed.refused] == [f"item_id {item}" for item in sorted(unknown)]
    expected = {item: sid for item, sid in sids_of(before).items() if item not in gone}
    assert sids_of(changed.catalog) == expected
    if expected:
        assert by_trie(changed.catalog) == expected
        assert set(map(tuple, Trie.of_catalog(changed.catalog).sids.tolist())) == set(expected.values())


def test_an_item_gets_the_codes_of_its_twin_while_there_is_room() -> None:
    codes_KM = made().encoder.codes_of(texts())
    twins = [new_item(1000 + row, text) for row, text in enumerate(texts())]
    # A cap under which nobody is crowded out.
    sids = sids_of(add(made().catalog, twins, cap=2 * ITEMS).catalog)
    assert [sids[one.item_id] for one in twins] == list(map(tuple, codes_KM.tolist()))


def test_a_full_id_sends_the_newcomer_to_the_nearest_with_room_under_the_same_prefix() -> None:
    catalog = made().catalog
    text = texts()[0]
    full = tuple(made().encoder.codes_of([text])[0].tolist())
    changed = add(catalog, [new_item(1000 + number, text) for number in range(CAP + 1)])
    sids = [sids_of(changed.catalog)[1000 + number] for number in range(CAP + 1)]
    moved = [sid for sid in sids if sid != full]
    assert moved, "more than fit"
    prefix_has_room = sum(row[0] == full[0] for row in sids_of(catalog).values()) + CAP + 1 <= SIZES[1] * CAP
    assert not prefix_has_room or all(sid[0] == full[0] for sid in moved)


def test_ids_over_the_cap_already_are_left_alone_and_take_nobody() -> None:
    catalog = made().catalog
    crowded = Catalog(
        catalog.item_id, np.zeros_like(catalog.codes), catalog.popularity, catalog.level_sizes, catalog.title
    )
    changed = add(crowded, [new_item(1000 + row, text) for row, text in enumerate(texts())])
    assert (changed.catalog.codes[changed.catalog.rows_of(catalog.item_id)] == 0).all()
    assert changed.refused == ()
    newcomers_KM = changed.catalog.codes[changed.catalog.rows_of(changed.changed)]
    assert newcomers_KM.any(axis=1).all()
    assert max(Counter(map(tuple, newcomers_KM.tolist())).values()) <= CAP


def test_a_price_of_its_own_takes_the_place_of_the_texts() -> None:
    text = texts()[0]
    told = [new_item(1000, f"{text} | price 400", 3.0), new_item(1000, text, 3.0), new_item(1000, f"{text} | price 3")]
    assert len({add(made().catalog, [one]).catalog.version for one in told}) == 1


def test_each_refusal_names_the_row_and_the_reason() -> None:
    catalog = made().catalog
    there = int(catalog.item_id[0])
    changed = add(catalog, [new_item(there, "copper teapot"), new_item(1001, "")])
    assert changed.catalog.version == catalog.version
    assert list(map(str, changed.refused)) == [
        f"line {there}: item_id {there} is in the catalogue already",
        "line 1001: item_id 1001: no word, category or price that features know",
    ]
    full = add(catalog, [new_item(1000 + number, texts()[0]) for number in range(ROOM)]).catalog
    [refused] = add(full, [new_item(5000, texts()[0])]).refused
    assert str(refused) == f"line 5000: item_id 5000: no room, every semantic id has {CAP} item(s)"


def test_items_without_texts_to_learn_from_take_nobody() -> None:
    silent = NewItemEncoder(ItemFeatures(None, 0.0, 16), made().quantiser)
    with pytest.raises(BadDataSet, match="had no texts"):
        with_items(made().catalog, silent, [new_item(1000, "teapot")], CAP)
