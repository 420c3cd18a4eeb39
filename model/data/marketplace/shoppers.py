"""Who shops: favourites, purse, habits, and what each shopper wants at the moment.

Born from a config and a generator, moved from request to request by `next_intent`.  Knows no page.
"""

# Shapes: U shoppers, S shelves, F favourite shelves of each, Y brands.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from model.data.arrays import Bool, Int64
from model.data.marketplace.config import IntentConfig, TasteConfig
from model.data.marketplace.goods import (
    BRANDS_PER_DEPARTMENT,
    KINDS_PER_SHELF,
    PRICE_TIERS,
    SHELVES,
    complements_of_shelf,
    department_of_shelf,
)
from model.data.marketplace.words import DEPARTMENTS


@dataclass(frozen=True, slots=True, eq=False)
class Shoppers:
    """U shoppers at one moment; moving on makes new arrays."""

    favourite_UF: Int64
    """Shelves, the dearest first; a shelf may stand twice."""
    likes_UY: Bool
    """Whether a brand is a favourite."""
    purse_U: Int64
    """Price tier they are at ease with."""
    shelf_U: Int64
    """Shelf that the present request is about."""
    kind_U: Int64
    """Kind that it is about, an index over all shelves' kinds."""

    def only(self, rows: Int64) -> Shoppers:
        """These shoppers alone, in this order."""
        return Shoppers(
            self.favourite_UF[rows],
            self.likes_UY[rows],
            self.purse_U[rows],
            self.shelf_U[rows],
            self.kind_U[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[Shoppers]) -> Shoppers:
        """All of them, one group behind the other."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    def with_rows(self, rows: Int64, moved: Shoppers) -> Shoppers:
        """The same shoppers, those of `rows` as they stand in `moved`, in this order."""
        whole = [getattr(self, column.name).copy() for column in fields(self)]
        for array, column in zip(whole, fields(self), strict=True):
            array[rows] = getattr(moved, column.name)
        return Shoppers(*whole)


def invite(users: int, taste: TasteConfig, rng: np.random.Generator) -> Shoppers:
    """Shoppers before their first request; most favourite shelves of each lie in two departments."""
    department_S = department_of_shelf()
    home_U2 = rng.integers(len(DEPARTMENTS), size=(users, 2))
    at_home_UF = rng.random((users, taste.favourite_shelves)) < taste.at_home
    which_UF = rng.integers(2, size=at_home_UF.shape)
    department_UF = np.where(
        at_home_UF,
        np.take_along_axis(home_U2, which_UF, axis=1),
        rng.integers(len(DEPARTMENTS), size=at_home_UF.shape),
    )
    favourite_UF = _some_shelf_of(department_UF, department_S, rng)

    brand_noise = rng.random((users, len(DEPARTMENTS), BRANDS_PER_DEPARTMENT))
    place = np.argsort(np.argsort(brand_noise, axis=2), axis=2)
    likes_UY = (place < taste.favourite_brands_per_department).reshape(users, -1)
    shelf_U = _fresh_shelf(favourite_UF, rng)
    return Shoppers(
        favourite_UF=favourite_UF,
        likes_UY=likes_UY,
        purse_U=rng.integers(PRICE_TIERS, size=users),
        shelf_U=shelf_U,
        kind_U=shelf_U * KINDS_PER_SHELF + rng.integers(KINDS_PER_SHELF, size=users),
    )


def drift(shoppers: Shoppers, intent: IntentConfig, rng: np.random.Generator) -> Shoppers:
    """Now and then a favourite shelf gives way to another, mostly one near by."""
    favourite_UF = shoppers.favourite_UF.copy()
    users, count = favourite_UF.shape
    department_S = department_of_shelf()
    leaving_U = rng.integers(count, size=users)
    old_U = favourite_UF[np.arange(users), leaving_U]
    near_U = rng.random(users) < intent.drift_within_department
    department_U = np.where(near_U, department_S[old_U], rng.integers(len(DEPARTMENTS), size=users))
    new_U = _some_shelf_of(department_U, department_S, rng)
    moved_U = rng.random(users) < intent.drift
    favourite_UF[np.arange(users), leaving_U] = np.where(moved_U, new_U, old_U)
    return replace(shoppers, favourite_UF=favourite_UF)


def next_intent(
    shoppers: Shoppers, bought_U: Bool, intent: IntentConfig, rng: np.random.Generator
) -> tuple[Shoppers, Bool]:
    """What the next request is about, and [U] whether it is about something that goes with the last one."""
    users = len(bought_U)
    chance_U = rng.random(users)
    complement_U = np.where(bought_U, intent.complement_after_purchase, intent.complement)
    goes_with_U = chance_U < complement_U
    stays_U = ~goes_with_U & (chance_U < complement_U + np.minimum(intent.stay, 1 - complement_U))
    companion_U = complements_of_shelf()[shoppers.shelf_U, rng.integers(2, size=users)]
    shelf_U = np.where(
        goes_with_U,
        companion_U,
        np.where(stays_U, shoppers.shelf_U, _fresh_shelf(shoppers.favourite_UF, rng)),
    )
    fresh_kind_U = shelf_U * KINDS_PER_SHELF + rng.integers(KINDS_PER_SHELF, size=users)
    same_kind_U = stays_U & (rng.random(users) < intent.stay_on_kind)
    kind_U = np.where(same_kind_U, shoppers.kind_U, fresh_kind_U)
    return replace(shoppers, shelf_U=shelf_U, kind_U=kind_U), goes_with_U


def _fresh_shelf(favourite_UF: Int64, rng: np.random.Generator) -> Int64:
    """One favourite of each shopper, the first ones more often: weights 1, 1/2, 1/3, ..."""
    users, count = favourite_UF.shape
    weight_F = 1.0 / np.arange(1, count + 1)
    drawn_U = rng.choice(count, size=users, p=weight_F / weight_F.sum())
    chosen: Int64 = favourite_UF[np.arange(users), drawn_U]
    return chosen


def _some_shelf_of(department: Int64, department_S: Int64, rng: np.random.Generator) -> Int64:
    """A shelf of each given department, all alike."""
    first_D = np.searchsorted(department_S, np.arange(len(DEPARTMENTS)))
    count_D = np.bincount(department_S, minlength=len(DEPARTMENTS))
    shelf: Int64 = first_D[department] + np.floor(rng.random(department.shape) * count_D[department]).astype(np.int64)
    return np.minimum(shelf, len(SHELVES) - 1)
