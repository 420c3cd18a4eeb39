"""Steps on samples as they come: the joint loss, guarded; what it learns follows from seed, samples and their order.

services/trainer and the replay of a log feed it one sample after the other.  Of several processes (torchrun) each is
fed the same ones, packs its own share of every step, and keeps the same state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from contracts.errors import TrainingStuck
from model.bundle.read import Bundle
from model.network.network import RankGRNetwork
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.semantic_id.trie import Trie
from model.training.batches import Batch
from model.training.checkpoints import Tensors
from model.training.devices import Devices, repeatable
from model.training.incremental.config import IncrementalConfig
from model.training.incremental.intake import Intake
from model.training.incremental.packed_samples import batch_of
from model.training.incremental.stream_sample import StreamSample
from model.training.run_directory import optimiser_tensors, restore_optimiser
from model.training.schedule import make_optimiser, set_rate
from model.training.step import StepLosses, TrainingLosses
from model.training.valid_codes import ValidCodes

# So much of the running mean of losses is the newest step.
NEWEST = 0.02
# Which draw of a step it is: targets and negatives.
_DRAW = 0
PARTS = ("ntp", "ldpo", "rsp", "history", "loss")


@dataclass(slots=True)
class LearnerPlace:
    """How far it is.

    batches: begun; steps: of the optimiser, `steps_since_anew` of them since its weights were last given to it.
    mean_loss over `calm` good steps; skipped_in_row since the last good one.  newest_learnt_ms: the newest interaction
    that the weights have seen, Unix ms.  samples: learnt since it began.  partial: the next step is to be taken with
    what waits, however little that is.
    """

    batches: int = 0
    steps: int = 0
    steps_since_anew: int = 0
    mean_loss: float = 0.0
    calm: int = 0
    skipped_in_row: int = 0
    newest_learnt_ms: int | None = None
    samples: int = 0
    tokens: int = 0
    partial: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, number: int = 1) -> None:
        """So many more of something that did not go as usual."""
        if number:
            self.counts[name] = self.counts.get(name, 0) + number


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step did: samples learnt from for the first time, replayed ones, tokens, and the parts of the loss.

    skipped: None, or why the weights stayed: `loss`, `gradient` (not finite), `explosion`, `empty` (nothing in it that
    the catalogue knows).
    """

    new: int
    replayed: int
    tokens: int
    parts: dict[str, float]
    skipped: str | None = None


class Learner:
    """One model that learns.  `network` is its own from then on, in training mode only inside a step."""

    def __init__(
        self,
        network: RankGRNetwork,
        fmt: PromptFormat,
        catalog: Catalog,
        config: IncrementalConfig,
        *,
        intake: Intake | None = None,
        place: LearnerPlace | None = None,
    ) -> None:
        self.config = config
        self.intake = intake or Intake(config)
        self.place = place or LearnerPlace()
        self._give(network, fmt, catalog)

    def feed(
        self, sample: StreamSample, before: Callable[[list[StreamSample]], None] | None = None
    ) -> list[StepReport]:
        """One more sample, and the steps that are due with it.

        before: is told what a step is about to learn from for the first time.  Raises TrainingStuck.
        """
        self.intake.take(sample)
        reports = []
        while self.intake.ready:
            reports.append(self._step(before))
        return reports

    def flush(self, before: Callable[[list[StreamSample]], None] | None = None) -> StepReport | None:
        """A step with what waits, if anything does.  Raises TrainingStuck.

        When that is asked belongs to what is learnt: whoever wants to go on after a kill as if there had been none
        keeps `place.partial` before.
        """
        self.place.partial = False
        return self._step(before) if self.intake.pending else None

    def adopt(self, catalog: Catalog) -> None:
        """Go on in another catalogue of the same semantic ids' vocabulary; weights and optimiser stay."""
        optimiser = self.optimiser_tensors()
        self._give(self.network, self.fmt, catalog)
        self.restore_optimiser(optimiser)

    def begin_anew(self, bundle: Bundle) -> None:
        """Go on from other weights, with a fresh optimiser; samples that wait and the reservoir stay.

        Raises BadBundle where the bundle's losses cannot be read, and they are to be followed.
        """
        self.config = self.intake.config = self.config.after(bundle.path)
        place, newest_learnt_ms = self.place, bundle.manifest.newest_interaction_ms
        place.steps_since_anew = place.calm = place.skipped_in_row = 0
        place.mean_loss, place.newest_learnt_ms = 0.0, newest_learnt_ms
        self.intake.popular.begin(bundle.popular)
        self._give(bundle.network(), bundle.prompt_format, bundle.catalog)

    def optimiser_tensors(self) -> Tensors:
        """AdamW's state by the weights' names."""
        return {name: tensor.clone() for name, tensor in optimiser_tensors(self._plain, self._names).items()}

    def restore_optimiser(self, tensors: Tensors) -> None:
        """What `optimiser_tensors` gave."""
        restore_optimiser(self._plain, tensors, self._names)

    def _give(self, network: RankGRNetwork, fmt: PromptFormat, catalog: Catalog) -> None:
        config = self.config
        self.devices = Devices(config.precision)
        self.network, self.fmt, self.catalog = network.to(self.devices.device), fmt, catalog
        # Without RSP nothing trains the rank head.
        network.rank_head.requires_grad_(config.losses.gamma > 0)
        self._names: dict[Tensor, str] = {weight: name for name, weight in network.named_parameters()}
        losses = TrainingLosses(network, ValidCodes(Trie.of_catalog(catalog)), config.losses, self.devices.sum_over)
        self._plain = make_optimiser(network, config.optimiser)
        self._losses, self._optimiser = self.devices.prepare(losses, self._plain)
        network.eval()

    def _step(self, before: Callable[[list[StreamSample]], None] | None) -> StepReport:
        place, intake, config = self.place, self.intake, self.config
        new = intake.next_new()
        if before is not None:
            before(new)
        samples = new + intake.replayed(new, place.batches)
        rng = np.random.default_rng((config.seed, place.batches, _DRAW))
        made = batch_of(samples, self.fmt, self.catalog, config.samples, config.losses, rng)
        usable = [sample for number, sample in enumerate(new) if number in made.used]
        place.count("unknown_items", made.unknown_items)
        place.count("empty_samples", len(new) - len(usable))
        if made.batch is None:
            report = StepReport(0, 0, 0, {}, "empty")
        else:
            skipped, parts = self._learn(made.batch)
            tokens = 0 if skipped else made.batch.tokens
            new_count = 0 if skipped else len(usable)
            report = StepReport(new_count, 0 if skipped else len(made.used) - len(usable), tokens, parts, skipped)
        learnt = report.skipped is None
        intake.done(usable, place.batches, learnt=learnt)
        intake.done(new, place.batches, learnt=False)
        place.batches += 1
        self._note(report, usable)
        return report

    def _learn(self, batch: Batch) -> tuple[str | None, dict[str, float]]:
        """One step; why it was skipped, and the parts of its loss."""
        place, config, devices = self.place, self.config, self.devices
        packed = batch.packed(self.fmt, devices.rank, devices.processes).to(devices.device)
        rate = config.learning_rate * min(1.0, (place.steps_since_anew + 1) / max(config.warmup_steps, 1))
        set_rate(self._plain, rate)
        self.network.train()
        with repeatable():
            step: StepLosses = self._losses(packed)
            self._optimiser.zero_grad(set_to_none=True)
            devices.backward(step)
            norm = float(devices.clip(self._losses, config.clip))
            summed = torch.stack([step.ntp, step.ldpo, step.rsp, step.history, step.total.detach()])
            parts = dict(zip(PARTS, devices.sum_over(summed).tolist(), strict=True))
            skipped = self._refusal(parts["loss"], norm)
            if skipped is None:
                self._optimiser.step()
            self._optimiser.zero_grad(set_to_none=True)
        self.network.eval()
        return skipped, parts

    def _refusal(self, loss: float, norm: float) -> str | None:
        place, guards = self.place, self.config.guards
        if not math.isfinite(loss):
            return "loss"
        if not math.isfinite(norm):
            return "gradient"
        if place.calm >= guards.calm_steps and loss > guards.explosion * place.mean_loss:
            return "explosion"
        return None

    def _note(self, report: StepReport, usable: list[StreamSample]) -> None:
        place = self.place
        if report.skipped == "empty":
            place.count("skipped empty")
            return
        if report.skipped is not None:
            place.skipped_in_row += 1
            place.count(f"skipped {report.skipped}")
            place.count("skipped_samples", len(usable))
            if place.skipped_in_row >= self.config.guards.most_in_a_row:
                raise TrainingStuck(place.skipped_in_row, report.skipped)
            return
        loss = report.parts["loss"]
        place.mean_loss = loss if not place.calm else (1 - NEWEST) * place.mean_loss + NEWEST * loss
        place.calm += 1
        place.skipped_in_row = 0
        place.steps += 1
        place.steps_since_anew += 1
        place.samples += report.new
        place.tokens += report.tokens
        newest = max((sample.newest_event_at for sample in usable), default=0)
        if usable:
            place.newest_learnt_ms = max(place.newest_learnt_ms or 0, newest)
