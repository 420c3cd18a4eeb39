"""The change of tastes: drawn whole from its seed, equal requests for everybody, nothing wanted that is not there."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.behaviors import Behavior, Level
from contracts.errors import BadRequest
from model.data.changing_market import ChangingMarket, ChangingMarketConfig, Deed, PeriodRequests, WantConfig
from model.data.marketplace.change import ChangeConfig
from model.data.marketplace.config import MarketplaceConfig
from model.data.marketplace.goods import FIRST_ITEM_ID

USERS, ITEMS, REQUESTS, CHANGES_AT = 40, 90, 25, 2


def market_of(seed: int, change: ChangeConfig | None = None) -> ChangingMarket:
    """A small one."""
    return ChangingMarket(
        ChangingMarketConfig(
            market=MarketplaceConfig(users=USERS, items=ITEMS),
            change=change or ChangeConfig(),
            requests=REQUESTS,
            changes_at=CHANGES_AT,
        ),
        seed,
    )


@pytest.fixture(scope="module")
def market() -> ChangingMarket:
    return market_of(3)


def some_periods(market: ChangingMarket, count: int = 5) -> list[PeriodRequests]:
    """The first of them."""
    return list(islice(market.periods(), count))


def any_list(market: ChangingMarket, seed: int, length: int = 10) -> list[int]:
    """Distinct items by chance."""
    chosen = np.random.default_rng(seed).permutation(market.goods.table.item_id)[:length]
    return [int(item) for item in chosen]


def test_equal_seeds_meet_equal_requests_whatever_was_shown_before(market: ChangingMarket) -> None:
    again = market_of(3)
    for ours, theirs in zip(some_periods(market), again.periods(), strict=False):
        # Somebody else's answers in between change nothing.
        again.deeds(theirs, 0, any_list(again, ours.period))
        for name in ("user_R", "scene_R", "device_R", "wanted_R", "finds_R", "buys_R", "chance_RN"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    other = some_periods(market_of(4), 1)[0]
    assert other.wanted_R.tolist() != some_periods(market, 1)[0].wanted_R.tolist()


def test_nobody_comes_twice_in_a_period(market: ChangingMarket) -> None:
    for requests in some_periods(market):
        assert len(set(requests.user_R.tolist())) == len(requests) == REQUESTS


def test_what_is_new_is_in_no_log_and_wanted_by_nobody_before_the_change(market: ChangingMarket) -> None:
    new = market.goods.table.item_id[market.change.new_N]
    assert len(new) == int(ChangeConfig().new_items * ITEMS)
    assert not np.isin(market.before.log.item, new).any()
    assert np.isin(new, market.before.items.item_id).all()
    for requests in some_periods(market):
        of_new = requests.chance_RN[:, market.change.new_N].sum(1)
        if requests.period < CHANGES_AT:
            assert of_new.max() < 1e-9
        else:
            assert of_new.mean() > 0.05


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_what_is_dead_is_wanted_clicked_and_looked_for_by_nobody_after_the_change(seed: int) -> None:
    market = market_of(seed)
    dead_N = market.change.dead_S[market.goods.shelf_N]
    dead = market.goods.table.item_id[dead_N].tolist()
    for requests in some_periods(market, 4)[CHANGES_AT:]:
        assert requests.chance_RN[:, dead_N].max() < 1e-9
        for number in range(len(requests)):
            deeds = market.deeds(requests, number, dead)
            assert not [one for one in deeds if one.item_id in dead and one.behavior is not Behavior.EXPOSURE]


@given(seed=st.integers(0, 1000), dying=st.integers(0, 5), leaving=st.floats(0.0, 0.9))
@settings(max_examples=30, deadline=None)
def test_an_heir_lives_and_is_left_by_nobody(seed: int, dying: int, leaving: float) -> None:
    change = market_of(seed, ChangeConfig(dying=dying, leaving=leaving)).change
    assert not change.dead_S[change.heir_S].any()
    np.testing.assert_array_equal(change.heir_S[change.heir_S], change.heir_S)
    assert not (change.new_N & change.dead_S[market_of(seed).goods.shelf_N]).any() or dying == 0


def test_chances_are_those_of_the_draw(market: ChangingMarket) -> None:
    """Over many requests, lists hold the wanted item as often as `hit_chance` says."""
    hits, chances = [], []
    for requests in some_periods(market, 60):
        np.testing.assert_allclose(requests.chance_RN.sum(1), 1.0)
        for number in range(len(requests)):
            best = np.argsort(-requests.chance_RN[number])[:5] + FIRST_ITEM_ID
            hits.append(market.hit(requests, number, best.tolist()))
            chances.append(market.hit_chance(requests, number, best.tolist()))
    assert 0.2 < np.mean(chances) < 0.95
    spread = np.sqrt(np.mean(np.array(chances) * (1 - np.array(chances))) / len(hits))
    assert abs(np.mean(hits) - np.mean(chances)) < 4 * spread


@given(seed=st.integers(0, 10_000), number=st.integers(0, REQUESTS - 1), length=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_deeds_are_about_what_is_shown_or_wanted(market: ChangingMarket, seed: int, number: int, length: int) -> None:
    requests = some_periods(market, 4)[seed % 4]
    shown = any_list(market, seed, length)
    deeds = market.deeds(requests, number, shown)
    wanted = int(requests.wanted_R[number]) + FIRST_ITEM_ID
    by = {kind: [one for one in deeds if one.behavior is kind] for kind in Behavior}
    assert [one.item_id for one in by[Behavior.EXPOSURE]] == shown
    clicked = {one.item_id for one in by[Behavior.CLICK]}
    assert clicked <= {*shown, wanted}
    assert {one.item_id for one in by[Behavior.PURCHASE]} <= clicked
    assert (wanted in clicked) == (wanted in shown or bool(requests.finds_R[number]))
    assert all(one.position is not None or one.item_id == wanted for one in deeds)


@given(seed=st.integers(0, 10_000), number=st.integers(0, REQUESTS - 1))
@settings(max_examples=40, deadline=None)
def test_a_shopper_s_answer_to_an_item_does_not_depend_on_its_company(
    market: ChangingMarket, seed: int, number: int
) -> None:
    requests = some_periods(market, 4)[seed % 4]
    shown = any_list(market, seed, 12)

    def of(deeds: list[Deed]) -> set[tuple[int, str]]:
        return {(one.item_id, one.behavior.value) for one in deeds if one.position is not None}

    parts = of(market.deeds(requests, number, shown[:5])) | of(market.deeds(requests, number, shown[5:]))
    assert parts == of(market.deeds(requests, number, shown[::-1]))


def test_a_month_later_the_log_knows_the_new_and_clicks_nothing_dead_any_more(market: ChangingMarket) -> None:
    before, log = market.before.log, market.a_month_later().log
    assert log.users == before.users
    month = log.timestamp > before.timestamp.max()
    clicked = log.item[(log.level >= Level.CLICK) & month]
    items = market.goods.table.item_id
    assert np.isin(clicked, items[market.change.new_N]).any()
    assert not np.isin(clicked, items[market.change.dead_S[market.goods.shelf_N]]).any()
    # No request of the first month goes on in the second.
    assert not set(log.session[month].tolist()) & set(log.session[~month].tolist())
    assert (~month).sum() >= len(before.item)


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"dying": 6}, {"dying": -1}, {"new_items": 1.0}, {"leaving": -0.1}, {"moved": 1.5}):
        with pytest.raises(BadRequest):
            ChangeConfig(**wrong)
    with pytest.raises(BadRequest, match="requests"):
        ChangingMarketConfig(market=MarketplaceConfig(users=5, items=90), requests=6)
    with pytest.raises(BadRequest, match="changes_at"):
        ChangingMarketConfig(changes_at=-1)
    with pytest.raises(BadRequest, match="found_elsewhere"):
        WantConfig(found_elsewhere=1.1)
