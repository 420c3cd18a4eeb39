"""Interactions from the stream into the use case; the consume loop of `main` calls it with each delivery.

Never acknowledges: the loop does, by what is raised here.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from contracts.errors import BadMessage
from contracts.messages import InteractionRecorded
from services.gateways.event_stream.port import Delivery
from services.history.metrics import HistoryMetrics
from services.history.remember_interactions import RememberInteractions

GROUP = "history"


@dataclass(frozen=True, slots=True)
class ConsumeInteractions:
    """The effect of one delivery.  Raises BadMessage for what is no interaction, and StoreDown."""

    remember: RememberInteractions
    metrics: HistoryMetrics

    async def __call__(self, delivery: Delivery) -> None:
        """Remember it; a second time changes nothing."""
        event = _interaction_in(delivery)
        await self.remember(event)
        self.metrics.note(event.behavior)


def _interaction_in(delivery: Delivery) -> InteractionRecorded:
    try:
        return InteractionRecorded.model_validate_json(delivery.payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise BadMessage(f"no interaction: {place or 'payload'}: {first['msg']}") from error
