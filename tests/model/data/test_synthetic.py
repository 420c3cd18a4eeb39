"""The marketplace: the same from the same seed, all four levels, believable, and worth learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.behaviors import Level
from contracts.errors import BadRequest
from model.data.arrays import Int64
from model.data.data_set import DataSet, describe
from model.data.log import Split
from model.data.marketplace.config import IntentConfig, MarketplaceConfig
from model.data.marketplace.goods import SHELVES, complements_of_shelf
from model.data.marketplace.words import DEPARTMENTS
from model.data.synthetic import generate, make_marketplace
from model.data.timelines import HeldOut, held_out


@pytest.fixture(scope="module")
def market() -> DataSet:
    return make_marketplace()


@pytest.fixture(scope="module")
def small() -> DataSet:
    return make_marketplace(users=60, items=80, seed=3)


def test_the_same_seed_makes_the_same_data(small: DataSet) -> None:
    again = make_marketplace(users=60, items=80, seed=3)
    other = make_marketplace(users=60, items=80, seed=4)
    for name in ("user", "item", "behavior", "timestamp", "session", "split", "scene", "device"):
        np.testing.assert_array_equal(getattr(small.log, name), getattr(again.log, name))
    assert small.items.text == again.items.text
    assert small.items.title != other.items.title


def test_the_default_has_the_promised_size_and_every_level(market: DataSet) -> None:
    told = describe(market)
    assert (told["users"], told["items"]) == (2000, 1500)
    assert 100_000 < told["interactions"] < 250_000
    assert set(told["behaviors"]) == {"pseudo_exposure", "exposure", "click", "purchase"}
    assert told["levels"]["none"] == 0
    assert min(told["levels"][level.name.lower()] for level in Level) > 1000
    assert min(told["splits"].values()) > 10_000
    assert told["scenes"] == ["cart", "home", "search"]
    assert told["devices"] == ["desktop", "mobile", "tablet"]
    assert told["clock"]
    assert np.ptp(market.log.timestamp) < 31 * 86_400


def test_titles_are_unique_and_texts_hold_title_path_and_brand(market: DataSet) -> None:
    items = market.items
    assert len(set(items.title)) == 1500
    for title, text, brand, path in zip(items.title, items.text, items.brand, items.categories, strict=True):
        assert text == f"{title} | {path} | {brand}"
        assert title.startswith(brand)
        assert path.count(" > ") == 2
    assert items.price is not None
    assert items.price.min() > 0


def test_a_full_shelf_numbers_its_titles_instead_of_repeating_them() -> None:
    titles = make_marketplace(users=1, items=25_000, seed=1).items.title
    assert len(set(titles)) == 25_000
    assert any(title.endswith(" Mark 2") for title in titles)


def test_shown_items_are_distinct_and_only_shown_items_are_clicked_and_bought(small: DataSet) -> None:
    log = small.log
    for session in np.unique(log.session):
        own = log.session == session
        at = {level: log.item[own & (log.level == level)].tolist() for level in Level}
        assert len(set(at[Level.EXPOSURE])) == len(at[Level.EXPOSURE]) == 8
        assert not set(at[Level.PSEUDO_EXPOSURE]) & set(at[Level.EXPOSURE])
        assert set(at[Level.CLICK]) <= set(at[Level.EXPOSURE])
        assert set(at[Level.PURCHASE]) <= set(at[Level.CLICK])


def test_requests_of_a_user_follow_each_other_and_the_last_click_ends_the_log(small: DataSet) -> None:
    log = small.log
    # Sessions are numbered by first event: falling numbers in a user's sorted events would be an overlap.
    assert np.all(np.diff(log.session) >= 0)
    for user in range(len(log.users)):
        own = log.user == user
        tested = own & (log.split == Split.TEST)
        if tested.any():
            assert len(np.unique(log.session[tested])) == 1
            assert (log.level[tested] >= Level.CLICK).any()


def test_a_purchase_leads_to_what_goes_with_it() -> None:
    always = IntentConfig(complement_after_purchase=1.0, complement=0.0)
    config = replace(MarketplaceConfig(users=300, items=400), intent=always)
    data = generate(config, seed=5)
    log = data.log
    shelf_of = {name: place for place, (_, name) in enumerate((d.name, s.name) for d, s in SHELVES)}
    shelf_N = np.array([shelf_of[path.split(" > ")[1]] for path in data.items.categories])
    from_cart = np.unique(log.session[log.scene == log.scenes.index("cart")])
    assert len(from_cart) > 20
    near = 0
    for session in from_cart:
        before = log.item[(log.session == session - 1) & (log.level == Level.PURCHASE)]
        after = log.item[(log.session == session) & (log.level == Level.EXPOSURE)]
        bought = shelf_N[np.searchsorted(data.items.item_id, before)]
        shown = shelf_N[np.searchsorted(data.items.item_id, after)]
        near += bool(np.isin(shown, complements_of_shelf()[bought]).any())
    assert near > 0.8 * len(from_cart)


def test_every_shelf_names_two_others_that_exist() -> None:
    names = [shelf.name for _, shelf in SHELVES]
    assert len(set(names)) == len(names)
    for _, shelf in SHELVES:
        assert set(shelf.goes_with) <= set(names) - {shelf.name}
    assert len({len(department.brands) for department in DEPARTMENTS}) == 1
    assert len({len(shelf.kinds) for _, shelf in SHELVES}) == 1
    brands = [brand for department in DEPARTMENTS for brand in department.brands]
    assert len(set(brands)) == len(brands)


@pytest.mark.parametrize(("users", "items", "field"), [(0, 1500, "users"), (10, 5, "items"), (10, -1, "items")])
def test_a_size_that_cannot_be_made_is_refused_with_its_field(users: int, items: int, field: str) -> None:
    with pytest.raises(BadRequest, match=f"^{field}: "):
        make_marketplace(users=users, items=items)


@pytest.mark.parametrize("users", [1, 2, 7])
def test_a_tiny_market_works(users: int) -> None:
    assert len(make_marketplace(users=users, items=20).log.users) == users


def hit_rate(ranked: list[Int64], held: list[HeldOut]) -> float:
    """HR@20 of clicks: the share of the truth among the first 20, averaged over users."""
    return float(
        np.mean(
            [
                len(set(items[:20].tolist()) & one.truth["click"]) / len(one.truth["click"])
                for items, one in zip(ranked, held, strict=True)
            ]
        )
    )


def test_recent_shelves_beat_popularity_four_times(market: DataSet) -> None:
    log, items = market.log, market.items
    learnt = (log.split == Split.TRAIN) & (log.level >= Level.CLICK)
    clicks_N = np.bincount(np.searchsorted(items.item_id, log.item[learnt]), minlength=len(items.item_id))
    popular = items.item_id[np.argsort(-clicks_N, kind="stable")]
    shelf_N = np.unique([path.rsplit(" > ", 1)[0] for path in items.categories], return_inverse=True)[1]

    held = list(held_out(market))
    assert len(held) > 1950
    by_shelf = []
    for one in held:
        recency_T = 0.8 ** np.arange(len(one.items))[::-1]
        interest_S = np.bincount(shelf_N[np.searchsorted(items.item_id, one.items)], recency_T, minlength=len(SHELVES))
        score_N = interest_S[shelf_N] + 1e-3 * clicks_N / clicks_N.max()
        by_shelf.append(items.item_id[np.argsort(-score_N, kind="stable")[:20]])
    popularity = hit_rate([popular] * len(held), held)
    assert 0.03 < popularity < 0.1
    assert hit_rate(by_shelf, held) >= 4 * popularity
