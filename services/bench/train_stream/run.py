"""One run: samples of a marketplace as messages; read, learnt from, kept.  No stream, no publication."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from contracts.behaviors import Level
from contracts.messages import SessionSampled
from contracts.progress import Silent
from model.build.build_bundle import BuildBundle
from model.build.presets import PRESETS
from model.build.source import Source
from model.bundle.read import read_bundle
from model.data.data_set import DataSet
from model.data.synthetic import make_marketplace
from model.sessions.rules import JoinRules
from model.training.incremental.checkpoint import StreamCheckpoints
from model.training.incremental.config import HeldOutConfig, IncrementalConfig
from model.training.incremental.learner import Learner, StepReport
from model.training.incremental.log_in_time import samples_in_time
from model.training.incremental.stream_sample import StreamSample
from model.training.kept_memory import freed_memory_kept

# Weights do not change how long a step takes: they are hardly trained.
FEW_TOKENS = 20_000
FEW_USERS = 5
# The first steps pay for what is made once.
WARM_UP = 256


@dataclass(frozen=True, slots=True)
class Measured:
    """`read_s`, `learn_s`: seconds of processor time; `learn_clock_s`, `keep_s`: by the clock.

    `learnt` samples in `steps` steps, replayed ones beside them; `kept_mb`: a checkpoint's MiB.
    """

    samples: int
    learnt: int
    replayed: int
    steps: int
    skipped: int
    tokens: int
    read_s: float
    learn_s: float
    learn_clock_s: float
    keep_s: float
    kept_mb: float
    parameters: int

    @property
    def samples_per_s(self) -> float:
        """Learnt from for the first time, messages read; a second of processor time."""
        return self.learnt / (self.read_s + self.learn_s)

    @property
    def tokens_per_s(self) -> float:
        """Replayed samples' tokens among them, padding left out; a second of processor time."""
        return self.tokens / self.learn_s


def bundle_of(data: DataSet, place: Path, preset: str, release: str, now: datetime) -> Path:
    """A bundle of this preset's size over the data, hardly trained."""
    recipe = PRESETS[preset]
    recipe = dataclasses.replace(
        recipe,
        optimiser=dataclasses.replace(recipe.optimiser, tokens=FEW_TOKENS),
        evaluation=dataclasses.replace(recipe.evaluation, users=FEW_USERS),
    )
    source = Source.of(data, preset=preset, recipe=recipe, seed=0, release=release)
    BuildBundle(recipe, source, Silent(), now)(data, place / "bundle")
    return place / "bundle"


def marketplace(users: int, items: int, seed: int) -> DataSet:
    """The synthetic one."""
    return make_marketplace(users=users, items=items, seed=seed)


def measure(data: DataSet, bundle: Path, place: Path, preset: str, samples: int, batch_samples: int) -> Measured:
    """Learn from at most so many samples of the log, in event time, in steps of `batch_samples`."""
    read = read_bundle(bundle)
    rules = JoinRules(history_level=max(read.prompt_format.history_level, Level.EXPOSURE))
    joined = islice(samples_in_time(data.log, rules), samples + WARM_UP)
    written = [message.model_dump_json().encode() for message in joined]
    recipe = PRESETS[preset]
    config = IncrementalConfig(
        batch_samples=batch_samples,
        held_out=HeldOutConfig(share=0.0),
        losses=recipe.losses,
        samples=recipe.samples,
    )
    learner = Learner(read.network(), read.prompt_format, read.catalog, config)
    with freed_memory_kept():
        for payload in written[:WARM_UP]:
            learner.feed(StreamSample.of(SessionSampled.model_validate_json(payload)))
        began_s = time.process_time()
        taken = [StreamSample.of(SessionSampled.model_validate_json(payload)) for payload in written[WARM_UP:]]
        read_s = time.process_time() - began_s
        began_s, began_clock_s = time.process_time(), time.perf_counter()
        reports: list[StepReport] = []
        for sample in taken:
            reports += learner.feed(sample)
        learn_s, learn_clock_s = time.process_time() - began_s, time.perf_counter() - began_clock_s
    began_s = time.perf_counter()
    StreamCheckpoints(place / "state", config).save(learner, {"0": "1"}, {})
    keep_s = time.perf_counter() - began_s
    kept = sum(path.stat().st_size for path in (place / "state").rglob("*") if path.is_file())
    good = [report for report in reports if report.skipped is None]
    return Measured(
        samples=len(taken),
        learnt=sum(report.new for report in good),
        replayed=sum(report.replayed for report in good),
        steps=len(good),
        skipped=len(reports) - len(good),
        tokens=sum(report.tokens for report in good),
        read_s=read_s,
        learn_s=learn_s,
        learn_clock_s=learn_clock_s,
        keep_s=keep_s,
        kept_mb=kept / 2**20,
        parameters=sum(weight.numel() for weight in learner.network.parameters()),
    )
