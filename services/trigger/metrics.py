"""What trigger counts; docs/metrics.md names it all."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.runtime.admission import Admission
from services.runtime.tallies import CountTally
from services.runtime.telemetry import gauge
from services.trigger.accept_trigger import TriggerAccepted


class TriggerMetrics:
    """Counts what was accepted; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._triggers = CountTally(
            registry,
            "rankgr_trigger_triggers",
            "Accepted triggers: published, or duplicate (published by an earlier call).",
            ("outcome",),
        )
        self._unmarked = CountTally(
            registry,
            "rankgr_trigger_unmarked",
            "Triggers accepted while the ledger was down: nobody can wait for them.",
        )
        self._interactions = CountTally(registry, "rankgr_trigger_interactions", "Accepted interactions.")
        self._inside = gauge(registry, "rankgr_trigger_inside", "Triggers that are being accepted now.")
        self._waiting = gauge(registry, "rankgr_trigger_waiting", "Triggers that wait for room.")
        self._published = self._triggers.labels("published")
        self._told_again = self._triggers.labels("duplicate")
        self._alone = self._unmarked.labels()
        self._all_interactions = self._interactions.labels()

    def watch(self, admission: Admission) -> None:
        """Show how full it is."""
        self._inside.set_function(lambda: admission.inside)
        self._waiting.set_function(lambda: admission.waiting)

    def note_trigger(self, accepted: TriggerAccepted) -> None:
        """Count one trigger."""
        if accepted.duplicate:
            self._told_again.value += 1
        else:
            self._published.value += 1
        if not accepted.marked:
            self._alone.value += 1

    def note_interactions(self, accepted: int) -> None:
        """Count a batch."""
        self._all_interactions.value += accepted
