"""What the marketplace sells: shelves, titles, brands, prices, appeal, popularity.

Stocked once from a config and a generator; shoppers and pages look things up in it.  Knows no user.
"""

# Shapes: N items, D departments, S shelves, C kinds (over all shelves), Y brands (over all departments).

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.data.arrays import Bool, Float64, Int64
from model.data.items import ItemTable
from model.data.marketplace.config import MarketplaceConfig
from model.data.marketplace.words import DEPARTMENTS, Department, Shelf

FIRST_ITEM_ID = 10_001
SHELVES: tuple[tuple[Department, Shelf], ...] = tuple((one, shelf) for one in DEPARTMENTS for shelf in one.shelves)
BRANDS_PER_DEPARTMENT = len(DEPARTMENTS[0].brands)
KINDS_PER_SHELF = len(SHELVES[0][1].kinds)
PRICE_TIERS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Goods:
    """N items as arrays; item n has the id `FIRST_ITEM_ID + n`."""

    shelf_N: Int64
    """Index into `SHELVES`."""
    kind_N: Int64
    """`shelf * KINDS_PER_SHELF + place among the shelf's kinds`."""
    brand_N: Int64
    """`department * BRANDS_PER_DEPARTMENT + place among the department's brands`."""
    tier_N: Int64
    """0 cheap, 1 middle, 2 dear, within its shelf."""
    appeal_N: Float64
    """Standard normal: how much everybody likes it."""
    popularity_N: Float64
    """Chance of being shown for its popularity; sums to 1."""
    table: ItemTable

    def only(self, kept_N: Bool) -> Goods:
        """These items alone, under their own ids; popularity sums to 1 again."""
        table, rows = self.table, np.flatnonzero(kept_N).tolist()
        popularity_N = self.popularity_N[kept_N]
        return Goods(
            shelf_N=self.shelf_N[kept_N],
            kind_N=self.kind_N[kept_N],
            brand_N=self.brand_N[kept_N],
            tier_N=self.tier_N[kept_N],
            appeal_N=self.appeal_N[kept_N],
            popularity_N=popularity_N / popularity_N.sum(),
            table=ItemTable(
                table.item_id[kept_N],
                tuple(table.title[row] for row in rows),
                tuple(table.text[row] for row in rows),
                tuple(table.brand[row] for row in rows),
                tuple(table.categories[row] for row in rows),
                None if table.price is None else table.price[kept_N],
            ),
        )


def department_of_shelf() -> Int64:
    """Department index of each shelf, Int64 [S]."""
    return np.array([DEPARTMENTS.index(department) for department, _ in SHELVES], np.int64)


def complements_of_shelf() -> Int64:
    """The two shelves that go with each shelf, Int64 [S, 2]."""
    place_of = {shelf.name: place for place, (_, shelf) in enumerate(SHELVES)}
    return np.array([[place_of[name] for name in shelf.goes_with] for _, shelf in SHELVES], np.int64)


def stock(config: MarketplaceConfig, rng: np.random.Generator) -> Goods:
    """Fill the shelves: uneven in number, each title once, prices log-normal about the shelf's middle."""
    items = config.items
    shelf_N = np.sort(rng.choice(len(SHELVES), size=items, p=rng.dirichlet(np.full(len(SHELVES), 12.0))))
    shelf_N = rng.permutation(shelf_N)
    kind_N, brand_N, titles = _names(shelf_N, rng)

    middle_N = np.array([shelf.price for _, shelf in SHELVES])[shelf_N]
    spread_N = rng.normal(size=items)
    price_N = np.maximum(np.floor(middle_N * np.exp(0.45 * spread_N)), 1.0) + 0.99
    appeal_N = rng.normal(size=items)
    # What is liked tends to be popular, but not strictly.
    rank_N = np.argsort(np.argsort(-(appeal_N + rng.normal(size=items)))) + 1
    weight_N = rank_N**-config.page.popularity_exponent

    paths = [f"{department.name} > {shelf.name} > " for department, shelf in SHELVES]
    kinds = [kind for _, shelf in SHELVES for kind in shelf.kinds]
    brands = [brand for department in DEPARTMENTS for brand in department.brands]
    brand_names = tuple(brands[brand] for brand in brand_N)
    categories = tuple(paths[shelf] + kinds[kind] for shelf, kind in zip(shelf_N, kind_N, strict=True))
    text = tuple(" | ".join(parts) for parts in zip(titles, categories, brand_names, strict=True))
    item_id = np.arange(FIRST_ITEM_ID, FIRST_ITEM_ID + items, dtype=np.int64)
    return Goods(
        shelf_N=shelf_N,
        kind_N=kind_N,
        brand_N=brand_N,
        tier_N=np.digitize(spread_N, (-0.43, 0.43)).astype(np.int64),
        appeal_N=appeal_N,
        popularity_N=weight_N / weight_N.sum(),
        table=ItemTable(item_id, titles, text, brand_names, categories, price_N),
    )


def _names(shelf_N: Int64, rng: np.random.Generator) -> tuple[Int64, Int64, tuple[str, ...]]:
    """(kind, brand, title) of [N]: a shelf uses up its (kind, brand, adjective)s before one comes again."""
    department_S = department_of_shelf()
    kind_N, brand_N = np.empty_like(shelf_N), np.empty_like(shelf_N)
    titles = [""] * len(shelf_N)
    for place, (department, shelf) in enumerate(SHELVES):
        on_shelf = np.flatnonzero(shelf_N == place)
        sizes = (len(shelf.kinds), len(department.brands), len(department.adjectives))
        combinations = int(np.prod(sizes))
        drawn = rng.permutation(combinations)
        for count, item in enumerate(on_shelf.tolist()):
            edition, turn = divmod(count, combinations)
            kind, brand, adjective = (int(part) for part in np.unravel_index(drawn[turn], sizes))
            kind_N[item] = place * KINDS_PER_SHELF + kind
            brand_N[item] = department_S[place] * BRANDS_PER_DEPARTMENT + brand
            mark = f" Mark {edition + 1}" if edition else ""
            titles[item] = f"{department.brands[brand]} {department.adjectives[adjective]} {shelf.kinds[kind]}{mark}"
    return kind_N, brand_N, tuple(titles)
