"""What precompute counts; docs/metrics.md names it all."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.precompute.precompute_candidates import (
    AlreadyThere,
    Computed,
    Empty,
    Expired,
    GivenUp,
    Outcome,
    Superseded,
)
from services.runtime.tallies import RecentCountTally
from services.runtime.telemetry import counter, gauge, histogram

_NAMES: dict[type[Outcome], str] = {
    Computed: "computed",
    Superseded: "superseded",
    AlreadyThere: "already_there",
    Expired: "expired",
    GivenUp: "given_up",
    Empty: "empty",
}


class PrecomputeMetrics:
    """Counts outcomes; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._triggers = counter(
            registry, "rankgr_precompute_triggers", "Triggers by what became of them.", ("outcome",)
        )
        # There from the outset: an increase from nothing to one is none to whoever watches.
        for name in _NAMES.values():
            self._triggers.labels(name)
        self._waiting = gauge(registry, "rankgr_precompute_waiting", "Triggers that wait for a place at the engine.")
        self._seconds = histogram(
            registry,
            "rankgr_precompute_trigger_to_candidates_seconds",
            "Time from a trigger's acceptance to its stored list.",
        )
        self._stages = histogram(
            registry,
            "rankgr_precompute_engine_stage_seconds",
            "Time of each stage, as the engine tells it.",
            ("stage",),
        )
        self._unknown = counter(
            registry,
            "rankgr_precompute_unknown_items",
            "Items of histories that the catalogue does not know.",
        )

        self._by_model = RecentCountTally(
            registry,
            "rankgr_precompute_model_lists",
            "Lists that were stored, by the model that made them, for the newest few models.",
            ("model_version",),
        )
        self._calls = counter(
            registry,
            "rankgr_precompute_engine_calls",
            "Calls to each engine by what came of them: ok, or the error's name.",
            ("replica", "outcome"),
        )

    def note_call(self, replica: str, outcome: str) -> None:
        """Count one call to one engine."""
        self._calls.labels(replica, outcome).inc()

    def note_waiting(self, waiting: int) -> None:
        """Show how many triggers wait for a place now."""
        self._waiting.set(waiting)

    def note(self, outcome: Outcome) -> None:
        """Count one trigger's outcome."""
        self._triggers.labels(_NAMES[type(outcome)]).inc()
        if isinstance(outcome, Computed | Empty):
            self._unknown.inc(len(outcome.unknown_items))
        if isinstance(outcome, Computed):
            self._by_model.labels(outcome.answer.model_version).add()
            self._seconds.observe(max(0, outcome.took_ms) / 1000)
            for stage, took_ms in outcome.answer.timings_ms.items():
                self._stages.labels(stage).observe(took_ms / 1000)
