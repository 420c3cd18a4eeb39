"""What trigger counts; docs/metrics.md names it all."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.runtime.telemetry import counter
from services.trigger.accept_trigger import TriggerAccepted


class TriggerMetrics:
    """Counts what was accepted; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._triggers = counter(
            registry,
            "rankgr_trigger_triggers",
            "Accepted triggers: published, or duplicate (published by an earlier call).",
            ("outcome",),
        )
        self._unmarked = counter(
            registry,
            "rankgr_trigger_unmarked",
            "Triggers accepted while the ledger was down: nobody can wait for them.",
        )
        self._interactions = counter(registry, "rankgr_trigger_interactions", "Accepted interactions.")

    def note_trigger(self, accepted: TriggerAccepted) -> None:
        """Count one trigger."""
        self._triggers.labels("duplicate" if accepted.duplicate else "published").inc()
        if not accepted.marked:
            self._unmarked.inc()

    def note_interactions(self, accepted: int) -> None:
        """Count a batch."""
        self._interactions.inc(accepted)
