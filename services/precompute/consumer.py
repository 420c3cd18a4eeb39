"""Triggers from the stream into the use case; the consume loop of `main` calls it with each delivery.

Never acknowledges: the loop does, by what is raised here.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from pydantic import ValidationError

from contracts.errors import BadMessage
from contracts.messages import TriggerRequested
from services.gateways.event_stream.port import Delivery
from services.precompute.metrics import PrecomputeMetrics
from services.precompute.precompute_candidates import PrecomputeCandidates

log = logging.getLogger(__name__)

GROUP = "precompute"


@dataclass(frozen=True, slots=True)
class ConsumeTriggers:
    """The effect of one delivery.  Raises BadMessage for what is no trigger, or as the use case."""

    precompute: PrecomputeCandidates
    metrics: PrecomputeMetrics

    async def __call__(self, delivery: Delivery) -> None:
        """Compute it, unless a newer trigger of the same user came in the same batch."""
        trigger = _trigger_in(delivery)
        self.precompute.newest.note(trigger)
        # Lets the other deliveries of this batch be noted before the first of them is computed.
        await asyncio.sleep(0)
        outcome = await self.precompute(trigger)
        self.metrics.note(outcome)
        log.info(
            "trigger settled",
            extra={
                "user_id": trigger.user_id,
                "request_id": trigger.request_id,
                "event_id": trigger.event_id,
                "outcome": type(outcome).__name__,
                "attempt": delivery.attempt,
            },
        )


def _trigger_in(delivery: Delivery) -> TriggerRequested:
    try:
        return TriggerRequested.model_validate_json(delivery.payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise BadMessage(f"no trigger: {place or 'payload'}: {first['msg']}") from error
