"""What the trainer counts; docs/metrics.md names it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from model.training.incremental.learner import StepReport
from services.runtime.clock import Clock
from services.runtime.telemetry import counter, gauge, histogram

STEP_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class TrainerMetrics:
    """One object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._told: dict[str, int] = {}
        self._samples = counter(
            registry,
            "rankgr_trainer_samples",
            "Samples by what became of them: learnt, replayed, repeated, corrected, skipped, empty, unreadable, lost.",
            ("outcome",),
        )
        self._steps = counter(
            registry,
            "rankgr_trainer_steps",
            "Steps: good, or why they were skipped: loss, gradient, explosion, empty.",
            ("outcome",),
        )
        self._unknown = counter(registry, "rankgr_trainer_unknown_items", "Items that the catalogue does not know.")
        self._loss = gauge(registry, "rankgr_trainer_loss", "Parts of the last good step's loss.", ("part",))
        self._tokens = counter(registry, "rankgr_trainer_tokens", "Tokens learnt from, padding left out.")
        self._seconds = histogram(
            registry, "rankgr_trainer_learn_seconds", "Time of a portion's steps.", buckets=STEP_BUCKETS_S
        )
        self._waiting = gauge(registry, "rankgr_trainer_waiting_samples", "Samples that wait for a whole step.")
        self._held_out = gauge(registry, "rankgr_trainer_held_out_samples", "Samples that the gate compares on.")
        self._reservoir = gauge(registry, "rankgr_trainer_reservoir_samples", "Samples kept to be replayed.")
        self._lag = gauge(registry, "rankgr_trainer_stream_lag", "Messages of the topic that were not read yet.")
        self._refusals = gauge(registry, "rankgr_trainer_refusals_in_row", "Publications refused one after another.")
        self._anew = counter(
            registry,
            "rankgr_trainer_begun_anew",
            "Times that training went back to the serving weights: overtaken, refused.",
            ("reason",),
        )
        self._catalogues = counter(registry, "rankgr_trainer_catalogues", "Newer catalogues that were taken over.")
        self._nothing_new = counter(
            registry, "rankgr_trainer_nothing_new", "Publications left out, since nothing had been learnt."
        )
        self._failures = counter(
            registry, "rankgr_trainer_failures", "Checkpoints and looks at the store that failed.", ("what",)
        )
        self._learnt_age = gauge(
            registry,
            "rankgr_trainer_newest_interaction_age_seconds",
            "Age of the newest interaction that the trainer's weights have seen; NaN where it is not known.",
        )
        self._serving_age = gauge(
            registry,
            "rankgr_trainer_serving_newest_interaction_age_seconds",
            "The same of the serving weights.",
        )
        for age in (self._learnt_age, self._serving_age):
            age.set(float("nan"))
        # There from the outset: an increase from nothing to one is none to whoever watches.
        self._samples.labels("lost")
        for what in ("checkpoint", "look"):
            self._failures.labels(what)

    def learnt(self, reports: list[StepReport], seconds: float) -> None:
        """Count a portion's steps."""
        for report in reports:
            self._steps.labels(report.skipped or "good").inc()
            self._samples.labels("learnt").inc(report.new)
            self._samples.labels("replayed").inc(report.replayed)
            self._tokens.inc(report.tokens)
            if report.skipped is None:
                for part, value in report.parts.items():
                    self._loss.labels(part).set(value)
        if reports:
            self._seconds.observe(seconds)

    def counted(self, counts: Mapping[str, int]) -> None:
        """What the learner counted in all, of which only the growth is ours."""
        outcomes = {"repeated": "repeated", "corrected": "corrected"}
        outcomes |= {"skipped_samples": "skipped", "empty_samples": "empty"}
        for name, value in counts.items():
            more = value - self._told.get(name, 0)
            self._told[name] = value
            if more > 0 and name == "unknown_items":
                self._unknown.inc(more)
            elif more > 0 and name in outcomes:
                self._samples.labels(outcomes[name]).inc(more)

    def begins_with(self, counts: Mapping[str, int]) -> None:
        """What was counted before this process began."""
        self._told = dict(counts)

    def unreadable(self) -> None:
        """Count a message that is no sample."""
        self._samples.labels("unreadable").inc()

    def lost(self, messages: int) -> None:
        """Count messages that the stream dropped before they were read."""
        self._samples.labels("lost").inc(messages)

    def holds(self, waiting: int, held_out: int, reservoir: int) -> None:
        """How many samples there are of each kind."""
        self._waiting.set(waiting)
        self._held_out.set(held_out)
        self._reservoir.set(reservoir)

    def lags(self, messages: int) -> None:
        """So many are not read yet."""
        self._lag.set(messages)

    def refused(self, in_row: int) -> None:
        """Publications refused one after another."""
        self._refusals.set(in_row)

    def begun_anew(self, reason: str) -> None:
        """Count a return to the serving weights."""
        self._anew.labels(reason).inc()

    def took_catalogue(self) -> None:
        """Count a newer catalogue."""
        self._catalogues.inc()

    def nothing_new(self) -> None:
        """Count a publication that was left out."""
        self._nothing_new.inc()

    def failed(self, what: str) -> None:
        """Count a `checkpoint` or `look` that failed."""
        self._failures.labels(what).inc()

    def learnt_until(self, newest_ms: int | None, clock: Clock) -> None:
        """Unix ms of the newest interaction in the trainer's weights."""
        self._learnt_age.set_function(_age_of(newest_ms, clock))

    def serves(self, newest_ms: int | None, clock: Clock) -> None:
        """The same of the serving weights."""
        self._serving_age.set_function(_age_of(newest_ms, clock))


def _age_of(newest_ms: int | None, clock: Clock) -> Callable[[], float]:
    if newest_ms is None:
        return lambda: float("nan")
    return lambda: max(0.0, (clock.now_ms() - newest_ms) / 1000)
