"""What learning from a stream of samples may vary; every value is checked where it is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from model.training.config import STRICT, LossConfig, OptimiserConfig, Rate, SampleConfig
from model.training.taught import Taught


@dataclass(frozen=True, slots=True, config=STRICT)
class GuardConfig:
    """What a step must not do.  What it would have learnt is passed over then, weights and optimiser stay.

    explosion: its loss is more than so many times the running mean, once `calm_steps` steps have made one.
    most_in_a_row: after so many skipped steps without a good one between them, training ends.
    """

    explosion: PositiveFloat = 5.0
    calm_steps: PositiveInt = 20
    most_in_a_row: PositiveInt = 20


@dataclass(frozen=True, slots=True, config=STRICT)
class HeldOutConfig:
    """Samples that are not learnt from while they are new: what the gate compares models on.

    share: of all samples, chosen by a hash of their id.  hold_ms: so long by event time; then they are learnt from.
    most: so many at a time, whatever the traffic; of more, the oldest are learnt from earlier.
    """

    share: Rate = 0.1
    hold_ms: PositiveInt = 3_600_000
    most: PositiveInt = 5_000


@dataclass(frozen=True, slots=True, config=STRICT)
class ReplayConfig:
    """Older samples that join every step, against forgetting.

    share: of a step's samples.  reservoir: so many are kept; of what was learnt so far, and beyond `horizon` samples
    rather of the newest so many, each is as likely to be among them.
    """

    share: Annotated[float, Field(ge=0.0, le=0.9)] = 0.3
    reservoir: PositiveInt = 20_000
    horizon: PositiveInt = 1_000_000


@dataclass(frozen=True, slots=True, config=STRICT)
class PopularConfig:
    """What fallback lists are made of: clicks that count half after half_life_ms of event time.

    half_life_ms 0: nothing is counted, and lists stay as they are.  prior: what a bundle's own list counts, in clicks.
    """

    half_life_ms: NonNegativeInt = 0
    prior: PositiveFloat = 1_000.0


@dataclass(frozen=True, slots=True, config=STRICT)
class IncrementalConfig:
    """Steps of `batch_samples` samples, replayed ones among them, at a constant rate after a linear warm-up.

    remembered: of so many sample ids the newest revision is known; what comes again later is taken for new.
    embedding_rate: the embeddings learn at so many times the rate.
    follow_losses, follow_rate: losses, samples and that ratio, or the rate, become those of the bundle whose weights
    are gone on from, where it tells them.
    """

    seed: NonNegativeInt = 0
    batch_samples: PositiveInt = 16
    learning_rate: PositiveFloat = 1e-3
    embedding_rate: PositiveFloat = 1.0
    warmup_steps: NonNegativeInt = 10
    weight_decay: NonNegativeFloat = 0.05
    beta1: Rate = 0.9
    beta2: Rate = 0.98
    clip: PositiveFloat = 1.0
    precision: Literal["float32", "bf16"] = "float32"
    remembered: PositiveInt = 200_000
    guards: GuardConfig = GuardConfig()
    held_out: HeldOutConfig = HeldOutConfig()
    replay: ReplayConfig = ReplayConfig()
    popular: PopularConfig = PopularConfig()
    losses: LossConfig = LossConfig()
    samples: SampleConfig = SampleConfig()
    follow_losses: bool = False
    follow_rate: bool = False

    @model_validator(mode="after")
    def _something_is_new(self) -> Self:
        if self.new_samples < 1:
            raise ValueError("batch_samples and replay.share leave no room for a new sample")
        return self

    def after(self, bundle: Path) -> IncrementalConfig:
        """The same for other weights, those of the bundle in this directory.  Raises BadBundle."""
        taught = Taught.of(bundle) if self.follow_losses or self.follow_rate else None
        return self if taught is None else self.taught(taught)

    def taught(self, taught: Taught) -> IncrementalConfig:
        """The same with as much of this as is followed."""
        config = self
        if self.follow_losses:
            # A ratio of rates is how these weights were taught, whatever the rate itself is.
            config = replace(config, losses=taught.losses, samples=taught.samples, embedding_rate=taught.embedding_rate)
        return replace(config, learning_rate=taught.rate) if self.follow_rate else config

    @property
    def new_samples(self) -> int:
        """Of a step's samples, so many were never learnt from."""
        return round(self.batch_samples * (1.0 - self.replay.share))

    @property
    def optimiser(self) -> OptimiserConfig:
        """AdamW, as `make_optimiser` takes it; its budget and schedule mean nothing here."""
        return OptimiserConfig(
            learning_rate=self.learning_rate,
            embedding_rate=self.embedding_rate,
            weight_decay=self.weight_decay,
            beta1=self.beta1,
            beta2=self.beta2,
            clip=self.clip,
            precision=self.precision,
        )
