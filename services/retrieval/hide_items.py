"""The use case behind `POST /items/hidden`: items leave every list at once, or come back.

Called by `api`.  Every retrieval process follows the shared set; this one does not wait for its next look.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contracts.ids import ItemId, ItemIdField, TimestampMs
from services.gateways.hidden_items.hidden_now import HiddenNow
from services.gateways.hidden_items.port import HiddenItems

MAX_CHANGED = 10_000


class ExpiringItem(BaseModel):
    """An item that is hidden from `at` on (Unix ms)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    item_id: ItemIdField
    at: TimestampMs


class HiddenBody(BaseModel):
    """What changes.  An item that is both hidden and shown is shown."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hide: Annotated[tuple[ItemIdField, ...], Field(max_length=MAX_CHANGED)] = ()
    show: Annotated[tuple[ItemIdField, ...], Field(max_length=MAX_CHANGED)] = ()
    expire: Annotated[tuple[ExpiringItem, ...], Field(max_length=MAX_CHANGED)] = ()

    def hidden_from(self) -> dict[ItemId, int]:
        """Item -> from when on it is hidden; one that is to be hidden now is so at once."""
        return {one.item_id: one.at for one in self.expire} | dict.fromkeys(self.hide, 0)


class HiddenAnswer(BaseModel):
    """How many items are hidden now, or will be."""

    hidden: int


@dataclass(frozen=True, slots=True)
class HideItems:
    """Change the shared set.  Raises StoreDown, and BadRequest where too many would be hidden."""

    store: HiddenItems
    hidden: HiddenNow

    async def __call__(self, hide: Mapping[ItemId, int], show: Collection[ItemId]) -> int:
        """How many items are hidden then."""
        count = await self.store.change(hide, show)
        await self.hidden.look()
        return count
