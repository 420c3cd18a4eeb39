"""Which items get into a catalogue, with which popularity, and over how many codes."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import BadDataSet
from model.build.catalogue import level_sizes, make_catalog
from model.build.recipe import SemanticIdConfig
from model.data.data_set import DataSet
from model.data.items import ItemTable
from model.semantic_id.catalog import Catalog

from .small import data_of, small_recipe


def catalog_of(data: DataSet, most_items: int = 100) -> Catalog:
    recipe = small_recipe(semantic_ids=SemanticIdConfig(most_items=most_items, feature_dims=16))
    return make_catalog(data, recipe, seed=0).catalog


# Item 9 is seen by three users, 5 and 6 by two, 8 by one, 7 in the test split alone, 1 to 4 never.
DATA = data_of(
    [
        ("ann", 9, "click", "home"),
        ("ann", 5, "exposure", "home"),
        ("ann", 6, "click", "home"),
        ("ann", 8, "pseudo_exposure", "home"),
        ("bob", 9, "click", "home"),
        ("bob", 6, "purchase", "home"),
        ("bob", 5, "click", "home"),
        ("bob", 9, "exposure", "home"),
        ("bob", 8, "exposure", "home"),
        ("bob", 8, "exposure", "home"),
        ("bob", 6, "click", "home"),
        ("cyd", 9, "exposure", "home"),
    ],
    catalogue=(1, 2, 3, 4),
    test=[("ann", 7, "click", "home"), ("bob", 7, "click", "home"), ("bob", 7, "click", "home")],
)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (2, [5, 9]),
        (3, [5, 6, 9]),
        (4, [5, 6, 8, 9]),
        (6, [1, 2, 5, 6, 8, 9]),
        (9, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (100, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_items_seen_in_training_come_first_those_of_most_users_before_others(most: int, expected: list[int]) -> None:
    assert catalog_of(DATA, most).item_id.tolist() == expected


def test_popularity_counts_users_who_clicked_or_did_more_in_training_rows_alone() -> None:
    catalog = catalog_of(DATA)
    popularity = dict(zip(catalog.item_id.tolist(), catalog.popularity.tolist(), strict=True))
    assert popularity == {1: 0, 2: 0, 3: 0, 4: 0, 5: 1, 6: 2, 7: 0, 8: 0, 9: 2}


def test_the_cap_of_items_per_id_holds() -> None:
    catalog = catalog_of(DATA)
    assert len({tuple(codes) for codes in catalog.codes.tolist()}) == len(catalog)


def test_titles_are_kept_for_people() -> None:
    catalog = catalog_of(DATA, 2)
    assert catalog.title == ("Thing 5", "Thing 9")


def test_data_without_an_item_is_refused() -> None:
    data = data_of([("ann", 9, "search", "home")])
    nothing = DataSet("nothing", data.log, ItemTable(np.empty(0, np.int64), (), ()))
    with pytest.raises(BadDataSet, match="no item to recommend"):
        catalog_of(nothing)


@pytest.mark.parametrize(
    ("items", "levels", "expected"),
    [
        (1, 2, (16, 16)),
        (64, 2, (16, 16)),
        (65, 2, (32, 32)),
        (1500, 2, (128, 128)),
        (10**6, 2, (512, 512)),
        (1000, 3, (32, 32, 32)),
        (100, 1, (256,)),
    ],
)
def test_levels_are_powers_of_two_with_room_for_the_items(items: int, levels: int, expected: tuple[int, ...]) -> None:
    ids = SemanticIdConfig(levels=levels, code_share=2.0, smallest_level=16, largest_level=512)
    assert level_sizes(items, ids) == expected
    asked_for = (7,) * levels
    assert level_sizes(items, SemanticIdConfig(sizes=asked_for)) == asked_for
