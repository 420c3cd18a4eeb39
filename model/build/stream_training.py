"""One run of `rankgr train --stream-from`: a bundle learns from a log in event time, as fast as it can.

What it prints is prequential: a sample is asked about before it is learnt from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from pydantic import ValidationError

from contracts.behaviors import Level
from contracts.errors import BadConfig
from contracts.manifest import MANIFEST_FILE, Manifest
from model.build.presets import PRESETS
from model.build.recipe import Recipe
from model.bundle.read import Bundle, read_bundle
from model.bundle.renew import Renewal, renew_bundle
from model.bundle.verify import read_manifest
from model.bundle.whole import check_target
from model.data.log import InteractionLog
from model.decoding.two_stage import TwoStageDecoder
from model.evaluation.evaluate import measure_users
from model.evaluation.recommender import Generative
from model.sessions.rules import JoinRules
from model.training.devices import Devices, is_main_process
from model.training.incremental.config import HeldOutConfig, IncrementalConfig, ReplayConfig
from model.training.incremental.handed_out import handed_out
from model.training.incremental.learner import Learner, StepReport
from model.training.incremental.log_in_time import samples_in_time
from model.training.incremental.stream_sample import KEY_BITS, StreamSample
from model.training.kept_memory import freed_memory_kept
from model.training.taught import Taught

# Of samples that reach other processes together, and that are asked about together.
PORTION = 256


@dataclass(frozen=True, slots=True)
class Period:
    """What was learnt from the requests of one hour or day of event time.

    began_ms: Unix ms.  hit_rate: HR@k of the clicks of those `looked` at, None for none.  Losses are means over steps.
    """

    began_ms: int
    samples: int
    steps: int
    skipped: int
    loss: float | None
    ntp: float | None
    looked: int
    hit_rate: float | None
    tokens: int
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        """While it learnt; what was spent on asking is left out."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Streamed:
    """A finished run; `manifest` in the process that wrote the bundle."""

    samples: int
    steps: int
    tokens: int
    seconds: float
    counts: dict[str, int]
    manifest: Manifest | None


@dataclass(slots=True)
class _Tally:
    began_ms: int
    reports: list[StepReport] = field(default_factory=list)
    hits: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def period(self) -> Period:
        good = [report for report in self.reports if report.skipped is None]
        return Period(
            began_ms=self.began_ms,
            samples=sum(report.new for report in good),
            steps=len(good),
            skipped=len(self.reports) - len(good),
            loss=float(np.mean([report.parts["loss"] for report in good])) if good else None,
            ntp=float(np.mean([report.parts["ntp"] for report in good])) if good else None,
            looked=len(self.hits),
            hit_rate=float(np.mean(self.hits)) if self.hits else None,
            tokens=sum(report.tokens for report in good),
            seconds=self.seconds,
        )


@dataclass(frozen=True, slots=True)
class LearnFromLog:
    """`bundle`: where to begin.  `begin_ms`: requests before it are only history.  `look_share` of all samples is asked
    about, chosen by a hash; `k` is HR@k's.  `period_ms`: one `Period` each.  `learn` False: only asks, learns nothing.
    """

    config: IncrementalConfig
    bundle: Path
    begin_ms: int
    period_ms: int = 3_600_000
    look_share: float = 0.2
    k: int = 20
    learn: bool = True
    clock: Callable[[], float] = time.monotonic

    def __call__(
        self,
        log: InteractionLog,
        out: Path,
        now: datetime,
        tell: Callable[[Period], None],
        *,
        replace: bool = False,
    ) -> Streamed:
        """Replay, learn, write.  Raises BadBundle, BadDataSet, TrainingStuck, OSError; then no bundle is written."""
        check_target(out, MANIFEST_FILE, replace=replace)
        bundle = read_bundle(self.bundle)
        learner = Learner(bundle.network(), bundle.prompt_format, bundle.catalog, self.config)
        began_s = self.clock()
        with freed_memory_kept():
            self._replay(learner, self._portions(log, learner.devices, bundle), tell)
        place = learner.place
        manifest = None
        if is_main_process():
            network = learner.network.to("cpu")
            renewal = Renewal(network, now, place.newest_learnt_ms, {"learnt_samples": place.samples})
            manifest = renew_bundle(self.bundle, renewal, out, replace=replace)
        counts = {**learner.intake.counts, **place.counts}
        return Streamed(place.samples, place.steps, place.tokens, self.clock() - began_s, counts, manifest)

    def _portions(self, log: InteractionLog, devices: Devices, bundle: Bundle) -> Iterator[bytes]:
        """Samples by the hundreds, read in one process; a portion never reaches over a period's end."""
        rules = JoinRules(history_level=max(bundle.prompt_format.history_level, Level.EXPOSURE))

        def read() -> Iterator[bytes]:
            portion: list[StreamSample] = []
            for message in samples_in_time(log, rules, self.begin_ms):
                sample = StreamSample.of(message)
                if portion and (len(portion) >= PORTION or self._period(sample) != self._period(portion[0])):
                    yield msgspec.msgpack.encode(portion)
                    portion = []
                portion.append(sample)
            if portion:
                yield msgspec.msgpack.encode(portion)

        return handed_out(devices, read())

    def _period(self, sample: StreamSample) -> int:
        return sample.requested_at // self.period_ms * self.period_ms

    def _replay(self, learner: Learner, portions: Iterator[bytes], tell: Callable[[Period], None]) -> None:
        decoder = msgspec.msgpack.Decoder(list[StreamSample])
        tally: _Tally | None = None
        for portion in portions:
            samples = decoder.decode(portion)
            # Requests come in the order of their ends: the first of a later period ends the one before.
            began_ms = self._period(samples[0])
            if tally is None or began_ms > tally.began_ms:
                if tally is not None:
                    tell(tally.period())
                tally = _Tally(began_ms)
            if learner.devices.main:
                tally.hits += self._hits(learner, samples)
            began_s = self.clock()
            for sample in samples if self.learn else ():
                tally.reports += learner.feed(sample)
            tally.seconds += self.clock() - began_s
        if tally is None:
            return
        began_s = self.clock()
        if self.learn and (last := learner.flush()) is not None:
            tally.reports.append(last)
        tally.seconds += self.clock() - began_s
        tell(tally.period())

    def _hits(self, learner: Learner, samples: list[StreamSample]) -> list[float]:
        weakest = learner.fmt.history_level
        # A correction may be of what was learnt from already.
        asked = [one for one in samples if one.revision == 0 and one.key < self.look_share * 2.0**KEY_BITS]
        users = [user for sample in asked if (user := sample.held_out(weakest)) is not None]
        if not users:
            return []
        method = Generative(TwoStageDecoder(learner.network, learner.catalog), learner.fmt, learner.catalog)
        found = measure_users(method, users, (self.k,)).truths["click"]
        return [float(value) for value in found.column(f"HR@{self.k}")]


def taught(directory: Path, given: Recipe | None) -> Taught:
    """What a bundle goes on with: the recipe that is given, else what it tells, else its preset.

    Bundles of earlier releases do not tell their own.  Raises BadBundle for one that tells what nobody here reads.
    """
    if given is not None:
        return given.taught()
    if (own := Taught.of(directory)) is not None:
        return own
    return PRESETS.get(str(read_manifest(directory).data.get("preset")), Recipe()).taught()


def learning(
    taught: Taught,
    precision: Literal["float32", "bf16"],
    seed: int,
    learning_rate: float | None = None,
    batch_samples: int | None = None,
    replay: float = 0.3,
) -> IncrementalConfig:
    """How a log is learnt from: by these losses, nothing held out, for every sample is asked about before.

    Raises BadConfig where nothing new would fit into a step.
    """
    plain = IncrementalConfig()
    try:
        return IncrementalConfig(
            seed=seed,
            batch_samples=batch_samples or plain.batch_samples,
            learning_rate=learning_rate or taught.rate,
            embedding_rate=taught.embedding_rate,
            precision=precision,
            held_out=HeldOutConfig(share=0.0),
            replay=ReplayConfig(share=replay),
            losses=taught.losses,
            samples=taught.samples,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadConfig(f"{'.'.join(map(str, first['loc'])) or 'a step'}: {first['msg']}") from error
