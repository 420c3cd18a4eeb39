"""Words of the catalogues that engines may serve at this moment: prompts and filters of one never go to another.

Used by `precompute_candidates`; main adds a wording whenever the bundle store has a new bundle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from contracts.ids import ItemId
from model.bundle.prompt_side import PromptSide
from services.precompute.hidden_filter import HiddenFilter
from services.precompute.prompt_of_user import PromptOfUser

# The served one, a canary, the one before (a rollback, or a replica whose turn has not come), and one to spare.
KEPT = 4


@dataclass(frozen=True, slots=True)
class Wording:
    """What a user's history and the hidden items are called in one catalogue."""

    prompt_of: PromptOfUser
    item_filter: Callable[[], bytes | None] = lambda: None

    @property
    def catalog_version(self) -> str:
        """Whose words these are."""
        return self.prompt_of.catalog_version


@dataclass(slots=True)
class Wordings:
    """The wording of now, and the newest few others."""

    now: Wording
    _by_catalog: dict[str, Wording] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._by_catalog[self.now.catalog_version] = self.now

    def of(self, catalog_version: str) -> Wording | None:
        """That catalogue's; None where it is not known here."""
        return self._by_catalog.get(catalog_version)

    def add(self, wording: Wording) -> None:
        """Know one more; those that were added or asked for longest ago go.  The one of now stays."""
        self._by_catalog.pop(wording.catalog_version, None)
        self._by_catalog[wording.catalog_version] = wording
        for version in list(self._by_catalog)[:-KEPT]:
            if version != self.now.catalog_version:
                del self._by_catalog[version]

    def use(self, wording: Wording) -> None:
        """Ask in these words first from now on."""
        self.now = wording
        self.add(wording)


def wording_of(side: PromptSide, hidden: Callable[[], frozenset[ItemId]]) -> Wording:
    """Of a bundle; `hidden` gives the same object as long as nothing has changed."""
    prompt_of = PromptOfUser(side.prompt_format, side.catalog, side.manifest.catalog_version)
    return Wording(prompt_of, HiddenFilter(side.catalog, hidden))
