"""What changes in the marketplace, all at once, between one request and the next: drawn once from a seed.

`model.data.changing_market` lets shoppers live before and after it.  Nobody's past changes, only what is wanted next.
"""

# Shapes: U shoppers, F favourite shelves of each, N items, S shelves.

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from contracts.errors import BadRequest
from model.data.arrays import Bool, Float32, Int64
from model.data.marketplace.config import TasteConfig
from model.data.marketplace.goods import KINDS_PER_SHELF, Goods, department_of_shelf
from model.data.marketplace.pages import attraction
from model.data.marketplace.shoppers import Shoppers
from model.data.marketplace.words import DEPARTMENTS

ABSENT = np.float32(-30.0)
"""Log-odds of what is not there, or of no interest to anybody: nobody wants it, nobody clicks it."""


@dataclass(frozen=True, slots=True)
class ChangeConfig:
    """How much changes; raises BadRequest for what cannot be.

    dying: so many departments lose all interest.  new_items: share of the items that are not there before.
    new_appeal: log-odds that they gain with everybody.  leaving: share of the living shelves that go out of fashion,
    each for one other shelf; moved: share of the tastes for them that move there.
    """

    dying: int = 1
    new_items: float = 0.08
    new_appeal: float = 2.0
    leaving: float = 0.4
    moved: float = 0.7

    def __post_init__(self) -> None:
        if not 0 <= self.dying < len(DEPARTMENTS):
            raise BadRequest(f"dying: of {len(DEPARTMENTS)} departments at least one must live, not {self.dying} die")
        for name in ("new_items", "leaving", "moved"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise BadRequest(f"{name}: a share of at least 0 and less than 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One change.  A dead shelf's heir, and the heir of one out of fashion, is the shelf that its friends turn to."""

    new_N: Bool
    """Items that nobody can see before it."""
    dead_S: Bool
    heir_S: Int64
    """Itself for a shelf that stays in fashion; never a dead shelf, never one that is left itself."""
    moved: float
    new_appeal: float

    @classmethod
    def draw(cls, goods: Goods, config: ChangeConfig, rng: np.random.Generator) -> Change:
        """Which departments die, which shelves are left for which, which items are new (none of a dead shelf)."""
        department_S = department_of_shelf()
        shelves = len(department_S)
        dead_S = np.isin(department_S, rng.permutation(len(DEPARTMENTS))[: config.dying])
        living = rng.permutation(np.flatnonzero(~dead_S))
        left = living[: int(config.leaving * len(living))]
        stay = living[len(left) :]
        heir_S = np.arange(shelves)
        leaving = np.concatenate([np.flatnonzero(dead_S), left])
        heir_S[leaving] = np.resize(rng.permutation(stay), len(leaving))
        candidates = np.flatnonzero(~dead_S[goods.shelf_N])
        new_N = np.zeros(len(goods.shelf_N), np.bool_)
        new_N[rng.permutation(candidates)[: int(config.new_items * len(goods.shelf_N))]] = True
        return cls(new_N, dead_S, heir_S, config.moved, config.new_appeal)

    def before(self, goods: Goods, shoppers: Shoppers, taste: TasteConfig) -> Float32:
        """`pages.attraction` as it is before, Float32 [U, N]: what is new is not there."""
        drawn_UN = attraction(goods, shoppers, taste)
        drawn_UN[:, self.new_N] = ABSENT
        return drawn_UN

    def after(self, goods: Goods, shoppers: Shoppers, taste: TasteConfig) -> Float32:
        """The same afterwards: what is new draws everybody, what is dead nobody."""
        drawn_UN = attraction(goods, shoppers, taste)
        drawn_UN[:, self.new_N] += np.float32(self.new_appeal)
        drawn_UN[:, self.dead_S[goods.shelf_N]] = ABSENT
        return drawn_UN

    def turn(self, shoppers: Shoppers, rng: np.random.Generator) -> Shoppers:
        """Tastes move to the heirs: all for dead shelves, `moved` of those for shelves that go out of fashion."""
        moves_UF = self.dead_S[shoppers.favourite_UF] | (rng.random(shoppers.favourite_UF.shape) < self.moved)
        favourite_UF = np.where(moves_UF, self.heir_S[shoppers.favourite_UF], shoppers.favourite_UF)
        moves_U = self.dead_S[shoppers.shelf_U] | (rng.random(shoppers.shelf_U.shape) < self.moved)
        shelf_U = np.where(moves_U, self.heir_S[shoppers.shelf_U], shoppers.shelf_U)
        return _about(replace(shoppers, favourite_UF=favourite_UF), shelf_U)

    def at_home(self, shoppers: Shoppers) -> Shoppers:
        """The same shoppers where no taste and no request is for anything dead: its heir has taken its place."""
        dead_UF = self.dead_S[shoppers.favourite_UF]
        favourite_UF = np.where(dead_UF, self.heir_S[shoppers.favourite_UF], shoppers.favourite_UF)
        shelf_U = np.where(self.dead_S[shoppers.shelf_U], self.heir_S[shoppers.shelf_U], shoppers.shelf_U)
        return _about(replace(shoppers, favourite_UF=favourite_UF), shelf_U)


def _about(shoppers: Shoppers, shelf_U: Int64) -> Shoppers:
    """Requests about these shelves now, for the kind in the same place."""
    kind_U = shelf_U * KINDS_PER_SHELF + shoppers.kind_U % KINDS_PER_SHELF
    return replace(shoppers, shelf_U=shelf_U, kind_U=kind_U)
