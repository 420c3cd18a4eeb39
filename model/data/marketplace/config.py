"""Every number of the marketplace's generative model; docs/data.md explains it in words.

Passed to `model.data.synthetic`; a simulation of drifting tastes varies it.  Checks itself at birth.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.errors import BadRequest

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class TasteConfig:
    """What draws a shopper to an item; weights add up to the log-odds of a click on a shown item."""

    favourite_shelves: int = 4
    at_home: float = 0.7
    """Chance that a favourite shelf lies in one of the shopper's two home departments."""
    favourite_brands_per_department: int = 2
    shelf_weight: float = 3.0
    """The item stands on the shelf that the request is about."""
    department_weight: float = 0.6
    """The item's shelf is in the same department."""
    kind_weight: float = 1.8
    """The item is of the kind looked for (a teapot, not just anything for coffee)."""
    brand_weight: float = 1.2
    """The item is of a favourite brand."""
    price_weight: float = 0.7
    """Lost for each tier (cheap, middle, dear) between the item's price and the shopper's purse."""
    appeal_weight: float = 0.4
    """Times the item's own appeal, the same for everybody (standard normal)."""
    click_bias: float = -4.0
    """Log-odds of a click on an item with none of this."""
    purchase_bias: float = -4.4
    """The same for a purchase, given a click, on half of the above."""


@dataclass(frozen=True, slots=True)
class IntentConfig:
    """How a shopper's requests follow from each other; the rest of the chance is a fresh favourite shelf."""

    stay: float = 0.55
    """Chance that the next request is about the same shelf."""
    stay_on_kind: float = 0.6
    """Chance that it is then about the same kind too."""
    complement: float = 0.15
    """Chance of a shelf that goes with the last one."""
    complement_after_purchase: float = 0.7
    """The same after a purchase: who has bought a tent looks for sleeping bags."""
    drift: float = 0.08
    """Chance, before each request, that one favourite shelf gives way to another."""
    drift_within_department: float = 0.6
    """Chance that the new favourite is in the old one's department."""


@dataclass(frozen=True, slots=True)
class PageConfig:
    """What a request is shown, and what was ranked for it without being shown."""

    by_taste: int = 5
    by_popularity: int = 2
    by_chance: int = 1
    ranked_not_shown: int = 2
    taste_noise: float = 1.0
    """Scale of the Gumbel noise in the ranking by taste: the shop guesses what the shopper wants."""
    popularity_exponent: float = 0.5
    """An item of popularity rank r is shown for its popularity as r to the minus this."""

    @property
    def shown(self) -> int:
        """Items on a page."""
        return self.by_taste + self.by_popularity + self.by_chance


@dataclass(frozen=True, slots=True)
class CalendarConfig:
    """When requests come, from where, and on what."""

    start_timestamp_s: int = 1_756_684_800
    """Monday 2025-09-01 00:00 UTC."""
    days: int = 30
    fewest_requests: int = 4
    most_requests: int = 12
    search_share: float = 0.25
    """Requests that come from the search box; the page is then by taste alone, but for one item by chance."""
    mobile_share: float = 0.62
    tablet_share: float = 0.1
    usual_device: float = 0.85
    """Chance that a request comes from the shopper's usual device."""


@dataclass(frozen=True, slots=True)
class MarketplaceConfig:
    """The whole model; raises BadRequest for a size that cannot be made."""

    users: int = 2000
    items: int = 1500
    taste: TasteConfig = TasteConfig()
    intent: IntentConfig = IntentConfig()
    page: PageConfig = PageConfig()
    calendar: CalendarConfig = CalendarConfig()

    def __post_init__(self) -> None:
        if self.users < 1:
            raise BadRequest(f"users: a marketplace needs at least 1 user, not {self.users}")
        fewest = 2 * (self.page.shown + self.page.ranked_not_shown)
        if self.items < fewest:
            raise BadRequest(f"items: a marketplace needs at least {fewest} items, not {self.items}")
