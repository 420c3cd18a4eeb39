"""The synthetic marketplace as a data set: the demo's default, and the ground that drift is simulated on.

Called by the command line and the tests.  The same config and seed give the same data set.
"""

# Shapes: U shoppers, P items on a page, Q items ranked but not shown, L items of either, E events.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from model.data.arrays import Bool, Float32, Int64
from model.data.assemble_log import Named, RawEvents, assemble_log
from model.data.data_set import DataSet
from model.data.log import InteractionLog
from model.data.marketplace.config import MarketplaceConfig, TasteConfig
from model.data.marketplace.goods import Goods, stock
from model.data.marketplace.pages import attraction, lay_out, respond
from model.data.marketplace.shoppers import Shoppers, drift, invite, next_intent
from model.data.marketplace.visits import CART, DEVICES, HOME, SCENES, SEARCH, plan_visits

BEHAVIORS = ("pseudo_exposure", "exposure", "click", "purchase")
PSEUDO_EXPOSURE, EXPOSURE, CLICK, PURCHASE = range(len(BEHAVIORS))
SECONDS_BETWEEN_CLICKS = 20
SECONDS_TO_PURCHASE = 150


# Scores of a block of shoppers against all items are what takes memory: 8 MiB for each such array.
BLOCK_CELLS = 2**21


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Events of some requests, [E] each; users, items, behaviours, scenes and devices are indices."""

    user: Int64
    item: Int64
    behavior: Int64
    second: Int64
    request: Int64
    scene: Int64
    device: Int64


def make_marketplace(users: int = 2000, items: int = 1500, seed: int = 0) -> DataSet:
    """The default marketplace at this size; raises BadRequest for a size that cannot be made."""
    return generate(MarketplaceConfig(users=users, items=items), seed)


def generate(config: MarketplaceConfig, seed: int) -> DataSet:
    """Stock the goods, invite the shoppers, let them come and go.

    Splits: each user's last request with a click is TEST (nothing follows it), the one before VALID.
    """
    rng = np.random.default_rng(seed)
    goods = stock(config, rng)
    events, _ = shop(goods, config, Constant(), rng)
    return DataSet("synthetic-marketplace", log_of(config.users, goods, events), goods.table)


class Mood(Protocol):
    """What the whole town feels about the goods: on top of it come each shopper's own tastes."""

    def invite(self, users: range, taste: TasteConfig, rng: np.random.Generator) -> Shoppers:
        """These shoppers (places among all) before their first request."""
        ...

    def attraction(self, goods: Goods, shoppers: Shoppers, taste: TasteConfig) -> Float32:
        """As `pages.attraction`."""
        ...

    def at_home(self, shoppers: Shoppers) -> Shoppers:
        """The same shoppers where nothing that they look for has gone."""
        ...


class Constant:
    """Nothing ever changes but each shopper's own mind."""

    def invite(self, users: range, taste: TasteConfig, rng: np.random.Generator) -> Shoppers:
        """Whoever comes is new."""
        return invite(len(users), taste, rng)

    def attraction(self, goods: Goods, shoppers: Shoppers, taste: TasteConfig) -> Float32:
        """Nothing on top."""
        return attraction(goods, shoppers, taste)

    def at_home(self, shoppers: Shoppers) -> Shoppers:
        """As they are."""
        return shoppers


def shop(goods: Goods, config: MarketplaceConfig, mood: Mood, rng: np.random.Generator) -> tuple[Events, Shoppers]:
    """All shoppers' requests over the calendar's days, and what the shoppers were like after their last."""
    block = max(1, min(config.users, BLOCK_CELLS // len(goods.shelf_N)))
    happened: list[Events] = []
    shoppers: list[Shoppers] = []
    for first in range(0, config.users, block):
        events, moved = _shop(goods, config, range(first, min(first + block, config.users)), mood, rng)
        happened += events
        shoppers.append(moved)
    return joined(happened), Shoppers.joined(shoppers)


def _shop(
    goods: Goods, config: MarketplaceConfig, span: range, mood: Mood, rng: np.random.Generator
) -> tuple[list[Events], Shoppers]:
    """All requests of the users in `span`, request by request for all of them at once."""
    users = np.array(span)
    shoppers = mood.invite(span, config.taste, rng)
    visits = plan_visits(len(users), config.calendar, rng)
    bought_U = np.zeros(len(users), np.bool_)
    goes_with_U = bought_U
    happened: list[Events] = []
    for request in range(int(visits.requests_U.max())):
        if request:
            shoppers = drift(shoppers, config.intent, rng)
            shoppers, goes_with_U = next_intent(shoppers, bought_U, config.intent, rng)
            shoppers = mood.at_home(shoppers)
        here = np.flatnonzero(visits.requests_U > request)
        # Whoever buys and then looks for what goes with it does so from the cart.
        from_cart = goes_with_U[here] & bought_U[here]
        searching = visits.searching_UR[here, request] & ~from_cart
        scene = np.where(from_cart, CART, np.where(searching, SEARCH, HOME))
        visit = _Visit(users[here], request, visits.second_UR[here, request], scene, visits.device_UR[here, request])
        bought_U = np.zeros(len(users), np.bool_)
        of_those = shoppers.only(here)
        drawn_UN = mood.attraction(goods, of_those, config.taste)
        events, bought_U[here] = _browse(goods, drawn_UN, config, visit, rng)
        happened.append(events)
    return happened, shoppers


@dataclass(frozen=True, slots=True, eq=False)
class _Visit:
    """The n-th request of some users, [U] each."""

    user: Int64
    number: int
    second: Int64
    scene: Int64
    device: Int64


def _browse(
    goods: Goods, drawn_UN: Float32, config: MarketplaceConfig, visit: _Visit, rng: np.random.Generator
) -> tuple[Events, Bool]:
    """One request of each shopper: its events, and [U] whether anything was bought."""
    pages = lay_out(goods, drawn_UN, visit.scene == SEARCH, config.page, rng)
    shown_UP = pages.shown_UP
    clicked_UP, bought_UP = respond(np.take_along_axis(drawn_UN, shown_UP, axis=1), config.taste, rng)
    click_second_UP = np.cumsum(clicked_UP, axis=1) * SECONDS_BETWEEN_CLICKS
    events = joined(
        [
            _events(visit, PSEUDO_EXPOSURE, pages.ranked_UQ, np.ones_like(pages.ranked_UQ, np.bool_)),
            _events(visit, EXPOSURE, shown_UP, np.ones_like(clicked_UP)),
            _events(visit, CLICK, shown_UP, clicked_UP, click_second_UP),
            _events(visit, PURCHASE, shown_UP, bought_UP, click_second_UP + SECONDS_TO_PURCHASE),
        ]
    )
    bought_U: Bool = np.any(bought_UP, axis=1)
    return events, bought_U


def _events(visit: _Visit, behavior: int, item_UL: Int64, happens_UL: Bool, later_UL: Int64 | None = None) -> Events:
    row, place = np.nonzero(happens_UL)
    later = 0 if later_UL is None else later_UL[row, place]
    return Events(
        user=visit.user[row],
        item=item_UL[row, place],
        behavior=np.full(len(row), behavior),
        second=visit.second[row] + later,
        request=np.full(len(row), visit.number),
        scene=visit.scene[row],
        device=visit.device[row],
    )


def joined(parts: Sequence[Events]) -> Events:
    """All of them, one part behind the other."""
    return Events(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Events)))


def _until_last_click(users: int, events: Events) -> Events:
    """Without the requests after a user's last click, which nobody could use; who never clicks keeps all."""
    last_U = np.full(users, -1)
    clicks = events.behavior == CLICK
    np.maximum.at(last_U, events.user[clicks], events.request[clicks])
    last_E = last_U[events.user]
    kept = (last_E < 0) | (events.request <= last_E)
    return Events(*(getattr(events, column.name)[kept] for column in fields(Events)))


def log_of(users: int, goods: Goods, events: Events) -> InteractionLog:
    """The log of what some users did, without what follows a user's last click."""
    events = _until_last_click(users, events)
    return assemble_log(
        RawEvents(
            user=Named(tuple(str(user) for user in range(1, users + 1)), events.user.astype(np.int32)),
            item=goods.table.item_id[events.item],
            behavior=Named(BEHAVIORS, events.behavior.astype(np.int32)),
            timestamp=events.second,
            request=events.request,
            split=None,
            scene=Named(SCENES, events.scene.astype(np.int32)),
            device=Named(DEVICES, events.device.astype(np.int32)),
        )
    )
