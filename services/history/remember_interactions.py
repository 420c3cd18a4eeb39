"""The use case behind the topic `interactions`: what a user did enters that user's history.

Called by `consumer`.  Idempotent and indifferent to order, as the store is.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.messages import InteractionRecorded
from services.gateways.history.port import HistoryStore, PastInteraction


@dataclass(frozen=True, slots=True)
class RememberInteractions:
    """Keep one interaction.  Raises StoreDown."""

    histories: HistoryStore

    async def __call__(self, event: InteractionRecorded) -> None:
        """Afterwards the user's history holds it, unless it is older than all that is kept."""
        past = PastInteraction(item_id=event.item_id, behavior=event.behavior, timestamp=event.timestamp)
        await self.histories.remember(event.user_id, [past])
