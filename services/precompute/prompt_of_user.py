"""A user's history and circumstances as an engine's prompt, for one catalogue version.

Used by `precompute_candidates`.  Holds no weights and reads no store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.behaviors import LEVEL_OF, Level
from contracts.ids import ItemId
from contracts.messages import TriggerRequested
from model.prompt import PromptContext, PromptFormat, prompt_from_history
from model.semantic_id.catalog import Catalog
from services.gateways.history.port import PastInteraction


@dataclass(frozen=True, slots=True)
class UserPrompt:
    """The tokens, and what of the history entered them.  `known_items` 0: nothing to recommend from."""

    tokens: tuple[int, ...]
    known_items: int
    unknown_items: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class PromptOfUser:
    """Builds prompts in the words of one bundle; an engine of another `catalog_version` means other items."""

    prompt_format: PromptFormat
    catalog: Catalog
    catalog_version: str

    def __call__(self, history: Sequence[PastInteraction], trigger: TriggerRequested) -> UserPrompt:
        """History oldest first; the hour is the trigger's.  What is below the format's level is left out."""
        strong = [past for past in history if LEVEL_OF[past.behavior] >= self.prompt_format.history_level]
        prompt = prompt_from_history(
            self.prompt_format,
            self.catalog,
            [past.item_id for past in strong],
            [int(LEVEL_OF[past.behavior]) for past in strong],
            PromptContext.at(trigger.accepted_at, trigger.scene, trigger.context.device),
        )
        return UserPrompt(
            tokens=tuple(prompt.tokens.tolist()),
            known_items=len(prompt.key_positions) // self.prompt_format.levels,
            unknown_items=tuple(ItemId(item) for item in prompt.unknown_items),
        )


def purchased(history: Sequence[PastInteraction]) -> tuple[ItemId, ...]:
    """Items the user bought, each once, in order of the first purchase."""
    bought = (past.item_id for past in history if LEVEL_OF[past.behavior] >= Level.PURCHASE)
    return tuple(dict.fromkeys(bought))
