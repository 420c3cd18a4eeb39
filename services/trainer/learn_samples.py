"""The trainer's use case: learn from what the stream brings, keep what was learnt, publish it now and then.

Runs in a thread of its own; knows no stream and no settings.  What goes wrong outside costs a line and a metric:
training goes on, and it is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from contracts.errors import BadBundle, BundleRefused, PointerMoved, RankGRError
from contracts.messages import SessionSampled
from model.training.incremental.checkpoint import StreamCheckpoints
from model.training.incremental.learner import Learner
from model.training.incremental.orders import BeginAnew, End, Learn, LearnTheRest, Order, TakeCatalogue, give
from model.training.incremental.stream_sample import StreamSample
from services.runtime.clock import Clock
from services.trainer.lineage import Lineage
from services.trainer.metrics import TrainerMetrics
from services.trainer.publish_weights import OtherCatalogue, OtherWeights, PublishWeights, Unchanged

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0


@dataclass(frozen=True, slots=True)
class SampleMessage:
    """One message of the topic; `position`: where its part of the topic goes on behind it."""

    part: str
    position: str
    payload: bytes


class Portions(Protocol):
    """What was read so far, for the one thread that learns."""

    @property
    def ended(self) -> bool:
        """Whether it is time to stop."""
        ...

    def take(self, wait_s: float) -> Sequence[SampleMessage]:
        """The next portion; empty where none came in time."""
        ...

    def kept(self, positions: dict[str, str]) -> None:
        """What lies before these positions is not needed again."""
        ...


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often, in seconds.  refusals: after so many in a row training goes back to what serves."""

    publish_every_s: float
    checkpoint_every_s: float
    look_every_s: float
    refusals: int


@dataclass(slots=True)
class LearnSamples:
    """`positions`: where the stream goes on, part by part."""

    learner: Learner
    lineage: Lineage
    checkpoints: StreamCheckpoints
    publish: PublishWeights
    clock: Clock
    metrics: TrainerMetrics
    rhythm: Rhythm
    positions: dict[str, str] = field(default_factory=dict)
    _next_checkpoint_s: float = field(default=0.0, init=False)
    _next_look_s: float = field(default=0.0, init=False)
    _next_try_s: float = field(default=0.0, init=False)
    _failures: int = field(default=0, init=False)
    _unheard: str | None = field(default=None, init=False)
    _not_before_s: float = field(default=0.0, init=False)
    _watched: str | None = field(default=None, init=False)

    def __call__(self, portions: Portions) -> None:
        """Until the portions end.  Raises TrainingStuck; what was learnt up to then is not kept."""
        learner = self.learner
        self.metrics.begins_with({**learner.intake.counts, **learner.place.counts})
        self._next_checkpoint_s = self.clock.monotonic_s() + self.rhythm.checkpoint_every_s
        if learner.place.partial:
            # Killed between saying so and having done it.
            self._do(LearnTheRest())
        self.look()
        while not portions.ended:
            self.learn(portions.take(min(0.5, self.rhythm.look_every_s)))
            now_s = self.clock.monotonic_s()
            if now_s >= self._next_look_s:
                self.look()
            if self.is_due(now_s):
                self.offer()
            if now_s >= self._next_checkpoint_s and self.keep():
                portions.kept(dict(self.positions))
        if self.keep():
            portions.kept(dict(self.positions))
        give(learner, End())

    def learn(self, messages: Sequence[SampleMessage]) -> None:
        """Learn from these messages."""
        samples = []
        for message in messages:
            try:
                samples.append(StreamSample.of(SessionSampled.model_validate_json(message.payload)))
            except ValidationError as error:
                self.metrics.unreadable()
                first = error.errors(include_url=False, include_input=False)[0]
                place = ".".join(map(str, first["loc"])) or "payload"
                log.warning("no sample: %s: %s", place, first["msg"], extra={"position": message.position})
            self.positions[message.part] = message.position
        self._do(Learn(samples))

    def offer(self) -> None:
        """Publish what was learnt since the last time, if anything was."""
        place, now_ms = self.learner.place, self.clock.now_ms()
        if not self.learner.intake.pending and place.samples == self.lineage.tried_samples:
            self.lineage, self._failures = replace(self.lineage, tried_at_ms=now_ms), 0
            self.metrics.nothing_new()
            log.info("nothing was learnt since the last publication: none is made")
            return
        if self.learner.intake.pending:
            # When this step is made belongs to what is learnt: it is kept before.
            place.partial = True
            self.keep()
            self._do(LearnTheRest())
        if place.samples == self.lineage.tried_samples:
            # What waited taught nothing.
            self.lineage, self._failures = replace(self.lineage, tried_at_ms=now_ms), 0
            return
        try:
            self._look_or_raise()
            if not self._waits_for_canary():
                self._publish()
        except BundleRefused:
            self._refused()
        except PointerMoved as error:
            log.warning("another bundle was promoted while ours was judged: %s", error)
            self._failures += 1
            self._next_try_s = self.clock.monotonic_s() + FIRST_PAUSE_S
            self.look()
        except (RankGRError, OSError) as error:
            self._note_failure(error)

    def keep(self) -> bool:
        """Save all that it takes to go on from here; whether that was possible."""
        self._next_checkpoint_s = self.clock.monotonic_s() + self.rhythm.checkpoint_every_s
        try:
            self.checkpoints.save(self.learner, self.positions, self.lineage.told())
        except OSError as error:
            self.metrics.failed("checkpoint")
            log.error("no checkpoint was written, the one before stays: %s", error.strerror or error)
            return False
        return True

    def _waits_for_canary(self) -> bool:
        watched = self.publish.watched_canary()
        if watched is not None:
            self._not_before_s = self.clock.monotonic_s() + self.rhythm.look_every_s
            if watched != self._watched:
                log.info("a canary is watched: nothing is published until its time is over", extra={"bundle": watched})
        self._watched = watched
        return watched is not None

    def _publish(self) -> None:
        now_ms = self.clock.now_ms()
        self.lineage = replace(self.publish.write(self.learner, self.lineage), tried_at_ms=now_ms)
        # Known before it can serve: killed in between, the next start finds its own weights serving, not a stranger's.
        self.keep()
        promoted, lineage = self.publish.promote(self.learner, self.lineage)
        self.lineage = replace(lineage, tried_samples=self.learner.place.samples)
        self._failures = 0
        self.metrics.refused(0)
        self.metrics.serves(promoted.bundle.manifest.newest_interaction_ms, self.clock)
        log.info(
            "weights published",
            extra={"bundle": promoted.bundle.version, "samples": self.learner.place.samples, **promoted.figures},
        )
        self.keep()

    def _refused(self) -> None:
        """Kept aside and logged by who refused it; here it is only what follows from it."""
        refusals = self.lineage.refusals + 1
        samples = self.learner.place.samples
        self.lineage = replace(self.lineage, refusals=refusals, tried_samples=samples, candidate=None)
        self._failures = 0
        self.metrics.refused(refusals)
        if refusals < self.rhythm.refusals:
            log.warning("training goes on from the refused weights", extra={"refusals": refusals})
        else:
            log.warning("%d publications in a row were refused: training goes back to the serving weights", refusals)
            self._begin_anew(self.publish.base(self.lineage))
            self.lineage = replace(self.lineage, refusals=0, tried_samples=self.learner.place.samples)
            self.metrics.begun_anew("refused")
        self.keep()

    def look(self) -> None:
        """What serves now; whoever changed it, training goes on from there."""
        self._next_look_s = self.clock.monotonic_s() + self.rhythm.look_every_s
        try:
            self._look_or_raise()
            self._unheard = None
        except (RankGRError, OSError) as error:
            said = str(error)
            self.metrics.failed("look")
            if said != self._unheard:
                # Once: a line per look would be a flood just when things are bad.
                log.warning("training goes on without knowing what serves: %s", said)
            self._unheard = said
            if isinstance(error, BadBundle):
                # What is damaged is fetched again, but not all the time.
                self._next_look_s = self.clock.monotonic_s() + LONGEST_PAUSE_S

    def _look_or_raise(self) -> None:
        before = self.lineage
        match self.publish.standing(before):
            case Unchanged(lineage):
                self.lineage = lineage
            case OtherCatalogue(lineage, bundle):
                log.info("another catalogue serves: taken over", extra={"bundle": lineage.base})
                self._do(TakeCatalogue(str(bundle)))
                self.lineage = lineage
                self.metrics.took_catalogue()
            case OtherWeights(lineage, bundle):
                log.warning(
                    "another model serves than the one that was learnt on: training begins again from that",
                    extra={"bundle": lineage.base, "before": before.base},
                )
                self._begin_anew(bundle)
                self.lineage = replace(lineage, tried_samples=self.learner.place.samples)
                self.metrics.begun_anew("overtaken")
        self.metrics.serves(self.publish.newest_serving_ms(self.lineage), self.clock)
        if self.lineage != before:
            self.keep()
            self.publish.staging.serves(self.lineage.base)

    def _begin_anew(self, bundle: Path) -> None:
        # Whether it can be gone on from is found out before others are told to.
        self.learner.config.after(bundle)
        self._do(BeginAnew(str(bundle)))

    def _do(self, order: Order) -> None:
        began_s = self.clock.monotonic_s()
        reports = give(self.learner, order)
        intake, place = self.learner.intake, self.learner.place
        self.metrics.learnt(reports, self.clock.monotonic_s() - began_s)
        self.metrics.counted({**intake.counts, **place.counts})
        self.metrics.holds(len(intake.pending), len(intake.held_out), len(intake.reservoir))
        self.metrics.learnt_until(place.newest_learnt_ms, self.clock)

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to publish, or to try again."""
        if now_s < self._not_before_s:
            return False
        if self._failures:
            return now_s >= self._next_try_s
        return self.clock.now_ms() >= self.lineage.tried_at_ms + self.rhythm.publish_every_s * 1000

    def _note_failure(self, error: Exception) -> None:
        self._failures += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        self._next_try_s = self.clock.monotonic_s() + pause_s
        why = (error.strerror if isinstance(error, OSError) else None) or error
        damaged = " (a bundle is damaged)" if isinstance(error, BadBundle) else ""
        log.warning("not published, tried again in %.0f s%s: %s", pause_s, damaged, why)
