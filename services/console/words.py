"""Titles, and prompts in the words of the served catalogue; it may come late, and be replaced at any moment.

Used by the verbs; main loads it.  Holds no weights.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from contracts.behaviors import LEVEL_OF
from contracts.errors import Unavailable
from contracts.ids import ItemId
from model.bundle.prompt_side import PromptSide
from model.prompt import PromptContext, prompt_from_history
from model.semantic_id.item_filter import ItemFilter
from services.gateways.history.port import PastInteraction

_SCENE = "scene:"
# Names for what is not said, and for what the model does not know.
_NO_SCENES = frozenset({"none", "other"})


@dataclass(slots=True)
class Words:
    """`side` None: no catalogue could be read yet, and `why` says what stood in the way."""

    side: PromptSide | None = None
    why: str = "the catalogue is being read"

    def use(self, side: PromptSide) -> None:
        """Speak these from now on."""
        self.side = side
        self.why = ""

    def title_of(self, item: ItemId) -> str:
        """What a person reads for an item; empty where nothing is known."""
        return "" if self.side is None else self.side.catalog.title_of(item)

    def knows(self, item: ItemId) -> bool:
        """Whether the catalogue has it."""
        return self.side is not None and int(self.side.catalog.rows_of([item])[0]) >= 0

    @property
    def scenes(self) -> list[str]:
        """Scenes that the model knows by name."""
        if self.side is None:
            return []
        names = self.side.prompt_format.special_tokens
        found = [name.removeprefix(_SCENE) for name in names if name.startswith(_SCENE)]
        return sorted(name for name in found if name not in _NO_SCENES)

    @property
    def catalog_version(self) -> str:
        """Raises Unavailable without a catalogue."""
        return self._known().manifest.catalog_version

    def tokens(self, history: Sequence[PastInteraction], at_ms: int, scene: str | None) -> tuple[int, ...]:
        """The prompt that precompute would build (held equal to it by a test).  Raises Unavailable without a catalogue.

        Empty where the history holds nothing that the catalogue knows.
        """
        side = self._known()
        strong = [past for past in history if LEVEL_OF[past.behavior] >= side.prompt_format.history_level]
        prompt = prompt_from_history(
            side.prompt_format,
            side.catalog,
            [past.item_id for past in strong],
            [int(LEVEL_OF[past.behavior]) for past in strong],
            PromptContext.at(at_ms, scene, None),
        )
        return tuple(prompt.tokens.tolist()) if len(prompt.key_positions) else ()

    def filter_of(self, hidden: Collection[ItemId]) -> bytes | None:
        """What leaves these items out of an engine's answer; None where none of them is in the catalogue."""
        bitmap = ItemFilter.of_items(self._known().catalog, hidden).bitmap
        return bitmap if any(bitmap) else None

    def _known(self) -> PromptSide:
        if self.side is None:
            raise Unavailable(f"no catalogue: {self.why}")
        return self.side
