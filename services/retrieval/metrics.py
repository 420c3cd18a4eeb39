"""What retrieval counts; docs/metrics.md names it all."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.retrieval.serve_candidates import Fallback, Fresh, Outcome, Reason, Stale
from services.runtime.telemetry import counter, gauge, histogram

# From a list made during the request to one of the day before.
AGE_BUCKETS_S = (0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0)

OUTCOME_NAMES: dict[type[Outcome], str] = {Fresh: "fresh", Stale: "stale", Fallback: "fallback"}


class RetrievalMetrics:
    """Counts outcomes; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = counter(registry, "rankgr_retrieval_answers", "Pages served, by outcome.", ("outcome",))
        self._seconds = histogram(
            registry, "rankgr_retrieval_answer_seconds", "Time to a page, waits included.", ("outcome",)
        )
        self._age = histogram(
            registry,
            "rankgr_retrieval_candidate_age_seconds",
            "Age of the served lists.",
            buckets=AGE_BUCKETS_S,
        )
        self._fallbacks = counter(
            registry, "rankgr_retrieval_fallbacks", "Popular lists served, by reason.", ("reason",)
        )
        self._gone = counter(registry, "rankgr_retrieval_cursors_gone", "Cursors whose list is no longer kept.")
        self._store_up = gauge(
            registry, "rankgr_retrieval_store_up", "1 if the candidate store answered when last asked, else 0."
        )

    def note(self, outcome: Outcome, seconds: float) -> None:
        """Count one page."""
        name = OUTCOME_NAMES[type(outcome)]
        self._answers.labels(name).inc()
        self._seconds.labels(name).observe(seconds)
        if isinstance(outcome, Fallback):
            self._fallbacks.labels(outcome.reason.value).inc()
        else:
            self._age.observe(outcome.age_ms / 1000)
        # A next page of a fallback did not ask the store.
        if not (isinstance(outcome, Fallback) and outcome.reason is Reason.CONTINUED):
            self.note_store(up=not (isinstance(outcome, Fallback) and outcome.reason is Reason.STORE_DOWN))

    def note_store(self, *, up: bool) -> None:
        """Show whether the store answered."""
        self._store_up.set(up)

    def note_gone(self) -> None:
        """Count a cursor that got 410."""
        self._gone.inc()
