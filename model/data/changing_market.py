"""A marketplace that changes its tastes in mid-run: a month of log to learn from, then requests, period by period.

Called by `services.simulate`.  Who comes, what each wants and what each would do with any list is a function of
configuration, seed and request: it does not depend on what anybody was shown, so that several ways of recommending
meet the same requests.
"""

# Shapes: R requests of a period, U shoppers, N items, L items of a list.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from contracts.behaviors import Behavior
from contracts.errors import BadRequest
from model.data.arrays import Bool, Float32, Float64, Int64
from model.data.data_set import DataSet
from model.data.log import InteractionLog
from model.data.marketplace.change import Change, ChangeConfig
from model.data.marketplace.config import SECONDS_PER_DAY, MarketplaceConfig, TasteConfig
from model.data.marketplace.goods import FIRST_ITEM_ID, Goods, stock
from model.data.marketplace.pages import response_chances
from model.data.marketplace.shoppers import Shoppers, drift, next_intent
from model.data.marketplace.visits import CART, DEVICES, HOME, SCENES, SEARCH
from model.data.synthetic import Constant, Events, joined, log_of, shop


@dataclass(frozen=True, slots=True)
class WantConfig:
    """sharpness: of the draw of what is wanted, times the attraction in log-odds.

    found_elsewhere: chance that who is not shown what he wants finds it by himself (a search, a link from a friend):
    else nothing that the model does not know yet could ever be learnt.  bought: chance that the wanted item is bought.
    Raises BadRequest for what is no chance.
    """

    sharpness: float = 1.5
    found_elsewhere: float = 0.7
    bought: float = 0.25

    def __post_init__(self) -> None:
        for name in ("found_elsewhere", "bought"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadRequest(f"{name}: a chance between 0 and 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class ChangingMarketConfig:
    """requests: in a period, each by another shopper.  changes_at: the first period after the change.

    Raises BadRequest where there are fewer shoppers than requests in a period.
    """

    market: MarketplaceConfig = field(default_factory=MarketplaceConfig)
    change: ChangeConfig = field(default_factory=ChangeConfig)
    want: WantConfig = field(default_factory=WantConfig)
    requests: int = 500
    changes_at: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.requests <= self.market.users:
            raise BadRequest(f"requests: 1 up to {self.market.users}, the number of users, not {self.requests}")
        if self.changes_at < 0:
            raise BadRequest(f"changes_at: a period, from 0 on, not {self.changes_at}")


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that a shopper did on a request; `position` on the list, None for what was found elsewhere."""

    item_id: int
    behavior: Behavior
    position: int | None


@dataclass(frozen=True, slots=True, eq=False)
class PeriodRequests:
    """R requests in the order in which they come; items are indices into the goods."""

    period: int
    user_R: Int64
    """Index; the name is one more."""
    scene_R: Int64
    device_R: Int64
    attraction_RN: Float32
    chance_RN: Float64
    """Chance that an item is the one that is wanted; sums to 1 over N."""
    wanted_R: Int64
    finds_R: Bool
    buys_R: Bool

    def __len__(self) -> int:
        return len(self.user_R)

    def user(self, request: int) -> str:
        """Whose it is."""
        return str(self.user_R[request] + 1)

    def scene(self, request: int) -> str:
        """Where it comes from."""
        return SCENES[self.scene_R[request]]

    def device(self, request: int) -> str:
        """On what it comes."""
        return DEVICES[self.device_R[request]]


class ChangingMarket:
    """Goods, shoppers, a change to come; everything from a configuration and a seed."""

    def __init__(self, config: ChangingMarketConfig, seed: int) -> None:
        self.config = config
        self._seed = seed
        rng = np.random.default_rng(seed)
        self.goods: Goods = stock(config.market, rng)
        self.change = Change.draw(self.goods, config.change, rng)
        there = np.flatnonzero(~self.change.new_N)
        events, self._shoppers = shop(self.goods.only(~self.change.new_N), config.market, Constant(), rng)
        self._events = replace(events, item=there[events.item])
        self.before = DataSet("before-the-change", self._log(self._events), self.goods.table)
        """A month of log in which nothing is new yet; the item table holds what will be."""

    def a_month_later(self) -> DataSet:
        """The same log with another month behind it, after the change: as a full training would have it then."""
        calendar, market = self.config.market.calendar, self.config.market
        later = calendar.start_timestamp_s + (calendar.days + 1) * SECONDS_PER_DAY
        rng = np.random.default_rng((self._seed, 1))
        moved = _Afterwards(self.change, self.change.turn(self._shoppers, rng))
        month = replace(market, calendar=replace(calendar, start_timestamp_s=later))
        events, _ = shop(self.goods, month, moved, rng)
        # Their numbers begin anew: two requests of a shopper must not be one.
        events = replace(events, request=events.request + calendar.most_requests)
        return DataSet("a-month-later", self._log(joined([self._events, events])), self.goods.table)

    def periods(self) -> Iterator[PeriodRequests]:
        """Period after period, without end."""
        shoppers, bought_U, period = self._shoppers, np.zeros(self.config.market.users, np.bool_), 0
        device_U = np.random.default_rng((self._seed, 2)).integers(len(DEVICES), size=self.config.market.users)
        while True:
            rng = np.random.default_rng((self._seed, 3, period))
            if period == self.config.changes_at:
                shoppers = self.change.turn(shoppers, rng)
            rows = rng.permutation(self.config.market.users)[: self.config.requests]
            moved, goes_with_R = self._next(shoppers.only(rows), bought_U[rows], period, rng)
            requests = self._requests(period, rows, moved, goes_with_R & bought_U[rows], rng)
            shoppers, bought_U = shoppers.with_rows(rows, moved), bought_U.copy()
            # Not whether it was bought: what comes next must not depend on what was shown.
            bought_U[rows] = requests.buys_R
            yield replace(requests, device_R=device_U[rows])
            period += 1

    def deeds(self, requests: PeriodRequests, request: int, shown: Sequence[int]) -> list[Deed]:
        """What comes of showing these items (ids, best first): what is wanted is taken where it is shown or found."""
        wanted, taste = int(requests.wanted_R[request]), self.config.market.taste
        deeds = [Deed(item, Behavior.EXPOSURE, place) for place, item in enumerate(shown)]
        click_L, purchase_L = self._responses(requests, request, np.array(shown, np.int64) - FIRST_ITEM_ID, taste)
        for place, item in enumerate(shown):
            is_wanted = item == wanted + FIRST_ITEM_ID
            if is_wanted or click_L[place]:
                deeds.append(Deed(item, Behavior.CLICK, place))
                if requests.buys_R[request] if is_wanted else purchase_L[place]:
                    deeds.append(Deed(item, Behavior.PURCHASE, place))
        if wanted + FIRST_ITEM_ID not in shown and requests.finds_R[request]:
            behaviors = [Behavior.CLICK, Behavior.PURCHASE] if requests.buys_R[request] else [Behavior.CLICK]
            deeds += [Deed(wanted + FIRST_ITEM_ID, behavior, None) for behavior in behaviors]
        return deeds

    def hit(self, requests: PeriodRequests, request: int, shown: Sequence[int]) -> bool:
        """Whether the list holds what was wanted."""
        return int(requests.wanted_R[request]) + FIRST_ITEM_ID in shown

    def hit_chance(self, requests: PeriodRequests, request: int, shown: Sequence[int]) -> float:
        """Chance that the list holds what is wanted, over all that might have been: `hit`'s mean, without its noise."""
        rows_L = np.unique(np.array(shown, np.int64)) - FIRST_ITEM_ID
        return float(requests.chance_RN[request, rows_L].sum())

    def _log(self, events: Events) -> InteractionLog:
        return log_of(self.config.market.users, self.goods, events)

    def _responses(
        self, requests: PeriodRequests, request: int, item_L: Int64, taste: TasteConfig
    ) -> tuple[Bool, Bool]:
        """Whether each is clicked and, if so, bought: a draw for each item of the request, wherever it stands."""
        rng = np.random.default_rng((self._seed, 4, requests.period, int(requests.user_R[request])))
        draw_2L = rng.random((2, len(self.goods.shelf_N)))[:, item_L]
        click_L, purchase_L = response_chances(requests.attraction_RN[request, item_L], taste)
        return draw_2L[0] < click_L, draw_2L[1] < purchase_L

    def _next(self, shoppers: Shoppers, bought_R: Bool, period: int, rng: np.random.Generator) -> tuple[Shoppers, Bool]:
        intent = self.config.market.intent
        moved, goes_with_R = next_intent(drift(shoppers, intent, rng), bought_R, intent, rng)
        return (self.change.at_home(moved) if period >= self.config.changes_at else moved), goes_with_R

    def _requests(
        self, period: int, rows: Int64, shoppers: Shoppers, from_cart_R: Bool, rng: np.random.Generator
    ) -> PeriodRequests:
        want, market = self.config.want, self.config.market
        feel = self.change.after if period >= self.config.changes_at else self.change.before
        drawn_RN = feel(self.goods, shoppers, market.taste)
        weight_RN = want.sharpness * drawn_RN.astype(np.float64)
        chance_RN = np.exp(weight_RN - weight_RN.max(axis=1, keepdims=True))
        chance_RN /= chance_RN.sum(axis=1, keepdims=True)
        upto_RN = np.cumsum(chance_RN, axis=1)
        drawn_R = rng.random(len(rows)) * upto_RN[:, -1]
        searching_R = rng.random(len(rows)) < market.calendar.search_share
        return PeriodRequests(
            period=period,
            user_R=rows,
            scene_R=np.where(from_cart_R, CART, np.where(searching_R, SEARCH, HOME)),
            device_R=np.zeros_like(rows),
            attraction_RN=drawn_RN,
            chance_RN=chance_RN,
            wanted_R=(upto_RN <= drawn_R[:, None]).sum(axis=1),
            finds_R=rng.random(len(rows)) < want.found_elsewhere,
            buys_R=rng.random(len(rows)) < want.bought,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Afterwards:
    """The mood after the change, of shoppers who were there before it."""

    change: Change
    shoppers: Shoppers

    def invite(self, users: range, taste: TasteConfig, rng: np.random.Generator) -> Shoppers:  # noqa: ARG002
        return self.shoppers.only(np.array(users))

    def attraction(self, goods: Goods, shoppers: Shoppers, taste: TasteConfig) -> Float32:
        return self.change.after(goods, shoppers, taste)

    def at_home(self, shoppers: Shoppers) -> Shoppers:
        return self.change.at_home(shoppers)
