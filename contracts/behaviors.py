"""What a user can do with an item, and how strongly it counts (RankGR's levels G1..G4, arXiv 2602.08575, 3.2.2)."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Level(IntEnum):
    """Strength of a feedback signal, weakest first."""

    PSEUDO_EXPOSURE = 1
    EXPOSURE = 2
    CLICK = 3
    PURCHASE = 4


class Behavior(StrEnum):
    """Behaviours that may arrive on the wire; pseudo-exposures are made inside the stack."""

    EXPOSURE = "exposure"
    CLICK = "click"
    CART = "cart"
    FAVOURITE = "favourite"
    PURCHASE = "purchase"


LEVEL_OF: dict[str, Level] = {
    "pseudo_exposure": Level.PSEUDO_EXPOSURE,
    "exposure": Level.EXPOSURE,
    "click": Level.CLICK,
    "cart": Level.CLICK,
    "favourite": Level.CLICK,
    "purchase": Level.PURCHASE,
    # A hand-over to a booking site: not a purchase, but the strongest signal such a log has.
    "clickout": Level.PURCHASE,
}
"""Level of every behaviour name that logs and messages use; a name that is absent carries no feedback."""
