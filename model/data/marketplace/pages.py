"""What a shopper feels about the goods, what a page shows, and what is clicked and bought on it.

Called once a request by `model.data.synthetic`; a simulator asks it what a user would do with any list.
"""

# Shapes: U shoppers, N items, P items on a page, Q items ranked but not shown, L items of any list.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.data.arrays import Bool, Float32, Float64, Int64
from model.data.marketplace.config import PageConfig, TasteConfig
from model.data.marketplace.goods import Goods, department_of_shelf
from model.data.marketplace.shoppers import Shoppers


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """One page for each shopper; items are indices into the goods."""

    shown_UP: Int64
    """Distinct within a page, in the order shown."""
    ranked_UQ: Int64
    """Next best by taste, not shown."""


def attraction(goods: Goods, shoppers: Shoppers, taste: TasteConfig) -> Float32:
    """How strongly each item draws each shopper now, Float32 [U, N], in log-odds above the biases."""
    department_S = department_of_shelf()
    wanted_U = department_S[shoppers.shelf_U]
    # The part that all shoppers share; what follows is added in place, for these are the big arrays.
    drawn_UN = np.tile((taste.appeal_weight * goods.appeal_N).astype(np.float32), (len(wanted_U), 1))
    for weight, holds_UN in (
        (taste.shelf_weight, goods.shelf_N == shoppers.shelf_U[:, None]),
        (taste.department_weight, department_S[goods.shelf_N] == wanted_U[:, None]),
        (taste.kind_weight, goods.kind_N == shoppers.kind_U[:, None]),
        (taste.brand_weight, shoppers.likes_UY[:, goods.brand_N]),
    ):
        drawn_UN += np.float32(weight) * holds_UN
    drawn_UN -= np.float32(taste.price_weight) * np.abs(goods.tier_N - shoppers.purse_U[:, None])
    return drawn_UN


def lay_out(
    goods: Goods, attraction_UN: Float32, searching_U: Bool, page: PageConfig, rng: np.random.Generator
) -> Pages:
    """Fill a page: by taste, by popularity, by chance; a search gives popularity's places to taste.

    The first two draw without replacement by the Gumbel trick: the highest of log weight + Gumbel noise.
    """
    everyone = np.arange(len(attraction_UN))[:, None]
    best = page.by_taste + page.by_popularity + page.ranked_not_shown
    ranking = _best(attraction_UN + page.taste_noise * _gumbel(attraction_UN.shape, rng), best)
    taste_UP, extra_UP, ranked_UQ = np.split(ranking, [page.by_taste, page.by_taste + page.by_popularity], axis=1)

    by_popularity_UN = np.log(goods.popularity_N).astype(np.float32) + _gumbel(attraction_UN.shape, rng)
    by_popularity_UN[everyone, ranking] = -np.inf
    popular_UP = _best(by_popularity_UN, page.by_popularity)
    by_chance_UN = rng.random(attraction_UN.shape, np.float32)
    by_chance_UN[everyone, ranking] = -1.0
    by_chance_UN[everyone, popular_UP] = -1.0
    shown_UP = np.concatenate(
        [taste_UP, np.where(searching_U[:, None], extra_UP, popular_UP), _best(by_chance_UN, page.by_chance)],
        axis=1,
    )
    return Pages(rng.permuted(shown_UP, axis=1), ranked_UQ)


def respond(attraction_UL: Float32, taste: TasteConfig, rng: np.random.Generator) -> tuple[Bool, Bool]:
    """Which shown items are clicked and which of those bought, Bool [U, L] each, from their attraction."""
    click_UL, purchase_UL = response_chances(attraction_UL, taste)
    clicked_UL = rng.random(attraction_UL.shape) < click_UL
    would_buy_UL = rng.random(attraction_UL.shape) < purchase_UL
    return clicked_UL, clicked_UL & would_buy_UL


def response_chances(attraction: Float32, taste: TasteConfig) -> tuple[Float64, Float64]:
    """Chance of a click on a shown item, and of a purchase once it is clicked; arrays of the attraction's shape."""
    log_odds = attraction.astype(np.float64)
    return _sigmoid(log_odds + taste.click_bias), _sigmoid(log_odds / 2 + taste.purchase_bias)


def _gumbel(shape: tuple[int, ...], rng: np.random.Generator) -> Float32:
    """Gumbel noise; the exponential behind it is never 0 in practice, and a 0 would only win its row."""
    with np.errstate(divide="ignore"):
        noise: Float32 = -np.log(rng.standard_exponential(shape, np.float32))
    return noise


def _best(score_UN: Float32, keep: int) -> Int64:
    """The `keep` highest of each row, best first."""
    if keep == 0:
        return np.empty((len(score_UN), 0), np.int64)
    found = np.argpartition(-score_UN, keep - 1, axis=1)[:, :keep]
    order = np.argsort(-np.take_along_axis(score_UN, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def _sigmoid(log_odds: Float64) -> Float64:
    chance: Float64 = 1.0 / (1.0 + np.exp(-log_odds))
    return chance
