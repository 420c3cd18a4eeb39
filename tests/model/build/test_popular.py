"""The fallback lists count what they say they count."""

from __future__ import annotations

import numpy as np

from model.build.popular import popular_lists
from model.semantic_id.catalog import Catalog

from .small import data_of

CATALOG = Catalog(
    item_id=np.array([2, 3, 5, 7]),
    codes=np.arange(4, dtype=np.int32)[:, None],
    popularity=np.zeros(4, np.float32),
    level_sizes=(4,),
)
DATA = data_of(
    [
        ("ann", 5, "click", "home"),
        ("ann", 5, "purchase", "search"),
        ("ann", 7, "click", "home"),
        ("bob", 7, "click", "home"),
        ("bob", 5, "click", "search"),
        ("bob", 3, "exposure", "search"),
        ("bob", 3, "exposure", "search"),
        ("bob", 3, "exposure", "cart"),
        # Again and again by one user: it counts once.
        ("ann", 2, "click", "home"),
        ("ann", 2, "click", "home"),
        ("ann", 2, "click", "home"),
        # Unknown to the catalogue.
        ("bob", 11, "purchase", "home"),
    ],
    test=[("ann", 2, "purchase", "home"), ("bob", 2, "click", "home")],
)


def test_items_stand_by_users_who_clicked_or_more_in_training_rows_ties_by_lower_id() -> None:
    lists = popular_lists([DATA.log], CATALOG, most=10)
    assert lists.default == (5, 7, 2, 3)
    assert lists.scenes == {"home": (7, 2, 5, 3), "search": (5, 2, 3, 7), "cart": (2, 3, 5, 7)}


def test_a_list_has_at_most_so_many() -> None:
    lists = popular_lists([DATA.log], CATALOG, most=2)
    assert lists.default == (5, 7)
    assert {len(items) for items in lists.scenes.values()} == {2}
