"""What retrieval counts; docs/metrics.md names it all."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.gateways.hidden_items.hidden_now import HiddenNow
from services.retrieval.answer import OUTCOME_NAMES
from services.retrieval.serve_candidates import Fallback, Masking, Outcome, Reason
from services.runtime.admission import Admission
from services.runtime.clock import Clock
from services.runtime.tallies import CountTally, RecentCountTally, SpreadTally
from services.runtime.telemetry import gauge

# From a list made during the request to one of the day before.
AGE_BUCKETS_S = (0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0)


class RetrievalMetrics:
    """Counts outcomes; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = CountTally(registry, "rankgr_retrieval_answers", "Pages served, by outcome.", ("outcome",))
        self._seconds = SpreadTally(
            registry, "rankgr_retrieval_answer_seconds", "Time to a page, waits included.", ("outcome",)
        )
        self._own = SpreadTally(
            registry,
            "rankgr_retrieval_read_seconds",
            "Time to a page, waiting for a computation left out.",
        )
        self._age = SpreadTally(
            registry,
            "rankgr_retrieval_candidate_age_seconds",
            "Age of the served lists.",
            buckets=AGE_BUCKETS_S,
        )
        self._fallbacks = CountTally(
            registry, "rankgr_retrieval_fallbacks", "Popular lists served, by reason.", ("reason",)
        )
        self._masking = CountTally(
            registry,
            "rankgr_retrieval_masking",
            "First pages of an asked request: its list was ready, was waited for, or was late.",
            ("result",),
        )
        self._by_model = RecentCountTally(
            registry,
            "rankgr_retrieval_model_answers",
            "Pages by the model whose list was served, and the outcome, for the newest few models.",
            ("model_version", "outcome"),
        )
        self._to_candidates = SpreadTally(
            registry,
            "rankgr_retrieval_trigger_to_candidates_seconds",
            "From the trigger of an asked request to its list.",
        )
        self._to_retrieve = SpreadTally(
            registry,
            "rankgr_retrieval_trigger_to_retrieve_seconds",
            "From the trigger of an asked request to the retrieve that asked for its list.",
        )
        self._not_modified = CountTally(
            registry, "rankgr_retrieval_not_modified", "Pages that the caller had already (304)."
        )
        self._gone = CountTally(registry, "rankgr_retrieval_cursors_gone", "Cursors whose list is no longer kept.")
        self._store_up = gauge(
            registry, "rankgr_retrieval_store_up", "1 if the candidate store answered when last asked, else 0."
        )
        self._inside = gauge(registry, "rankgr_retrieval_inside", "Requests that are being answered.")
        self._waiting = gauge(registry, "rankgr_retrieval_waiting", "Requests that wait for their turn.")
        self._hidden = gauge(registry, "rankgr_retrieval_hidden_items", "Items that are not served now.")
        self._hidden_age = gauge(
            registry,
            "rankgr_retrieval_hidden_known_seconds",
            "Time since the store last said which items are hidden, since the start where it never did.",
        )
        self._by_outcome = {
            kind: (self._answers.labels(name), self._seconds.labels(name)) for kind, name in OUTCOME_NAMES.items()
        }
        # By value: an enum's own hash is a call of Python.
        self._by_masking = {result.value: self._masking.labels(result.value) for result in Masking}
        self._candidates_after, self._retrieve_after = self._to_candidates.labels(), self._to_retrieve.labels()
        self._ages, self._own_times = self._age.labels(), self._own.labels()
        self._seen_up: bool | None = None

    def note(self, outcome: Outcome, seconds: float, waited_s: float = 0.0) -> None:
        """Count one page, of whose `seconds` a computation was waited for so long."""
        pages, times = self._by_outcome[type(outcome)]
        pages.value += 1
        times.note(seconds)
        self._own_times.note(seconds - waited_s)
        if isinstance(outcome, Fallback):
            self._fallbacks.labels(outcome.reason.value).add()
            # A next page of a fallback did not ask the store.
            if outcome.reason is not Reason.CONTINUED:
                self.note_store(up=outcome.reason is not Reason.STORE_DOWN)
        else:
            self._by_model.labels(outcome.head.model_version, OUTCOME_NAMES[type(outcome)]).value += 1
            self._ages.note(outcome.age_ms / 1000)
            self.note_store(up=True)
        if outcome.masking is not None:
            self._by_masking[outcome.masking.value].value += 1

    def note_masked(self, triggered_at: int, generated_at: int, asked_at: int) -> None:
        """The three moments of a list that was asked for by its request, Unix ms."""
        self._candidates_after.note(max(0, generated_at - triggered_at) / 1000)
        self._retrieve_after.note(max(0, asked_at - triggered_at) / 1000)

    def note_store(self, *, up: bool) -> None:
        """Show whether the store answered."""
        if up is not self._seen_up:
            self._seen_up = up
            self._store_up.set(up)

    def note_not_modified(self) -> None:
        """Count a page that was not sent."""
        self._not_modified.labels().add()

    def note_gone(self) -> None:
        """Count a cursor that got 410."""
        self._gone.labels().add()

    def watch(self, admission: Admission, hidden: HiddenNow, clock: Clock) -> None:
        """Show what these are whenever somebody scrapes."""
        self._inside.set_function(lambda: admission.inside)
        self._waiting.set_function(lambda: admission.waiting)
        self._hidden.set_function(lambda: len(hidden.now.items))
        began_s = clock.monotonic_s()
        # No NaN before the first answer: no alert would ever see a process that was never told.
        self._hidden_age.set_function(
            lambda: clock.monotonic_s() - (began_s if hidden.looked_s is None else hidden.looked_s)
        )
