"""Fit a network on blocks of sessions: token-budgeted, seeded, validated, resumable to the same loss curve.

One trainer for `rankgr build` and `rankgr train`, for one process or several.  Equal blocks, configuration and seed
give equal weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from contracts.errors import BadConfig, BadDataSet
from contracts.progress import Progress
from model.network.network import RankGRNetwork
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.semantic_id.trie import Trie
from model.training.batches import Batch, Blocks, epoch
from model.training.config import FitConfig
from model.training.devices import Devices, repeatable
from model.training.kept_memory import freed_memory_kept
from model.training.run_directory import (
    Checkpoint,
    Place,
    RunDirectory,
    StepLog,
    optimiser_tensors,
    restore_optimiser,
)
from model.training.schedule import make_optimiser, rate_at, set_rate
from model.training.step import StepLosses, TrainingLosses
from model.training.valid_codes import ValidCodes

# So much of a running mean is the newest step.
NEWEST = 0.02


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit did: optimiser steps, epochs begun, tokens learnt from, their rate, and the last losses."""

    steps: int
    epochs: int
    tokens: int
    tokens_per_s: float
    ntp: float
    ldpo: float
    rsp: float
    best: float | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """Trains in place until the token budget is spent or validation says stop; draws anew every epoch.

    run: where checkpoints and the log go; None: nowhere.  look: the validation metric of the network as it stands,
    higher is better, asked in the main process alone.  clock: seconds, for rates that people read.
    """

    fmt: PromptFormat
    catalog: Catalog
    config: FitConfig
    progress: Progress
    run: RunDirectory | None = None
    look: Callable[[RankGRNetwork], float] | None = None
    clock: Callable[[], float] = time.monotonic

    def __call__(self, network: RankGRNetwork, blocks: Blocks) -> FitReport:
        """Train.

        Raises BadDataSet when no block has a session to learn from, BadConfig when the training diverges, OSError when
        the disk refuses.
        """
        with repeatable(), freed_memory_kept():
            loop = _Loop(self, network)
            try:
                loop.run(blocks)
            finally:
                network.model.drop(0.0)
                network.eval()
            return loop.report()


class _Loop:
    """One fit under way."""

    def __init__(self, fit: Fit, network: RankGRNetwork) -> None:
        self._fit = fit
        self._network = network
        self._config = fit.config
        self._devices = Devices(fit.config.optimiser.precision)
        _freeze_what_is_not_asked(network, fit.config)
        network.to(self._devices.device)
        self._names: dict[Tensor, str] = {weight: name for name, weight in network.named_parameters()}
        self._place = Place(next_look=fit.config.validation.every_tokens, next_checkpoint=fit.config.checkpoint_tokens)
        self._best: dict[str, Tensor] = {}
        valid = ValidCodes(Trie.of_catalog(fit.catalog))
        losses = TrainingLosses(network, valid, fit.config.losses, self._devices.sum_over)
        self._plain = make_optimiser(network, fit.config.optimiser)
        self._losses, self._optimiser = self._devices.prepare(losses, self._plain)
        self._begun_s, self._begun_tokens = fit.clock(), 0
        self._log: StepLog | None = None

    def run(self, blocks: Blocks) -> None:
        """Until the budget is spent or nothing gets better."""
        self._resume()
        fit, budget = self._fit, self._config.optimiser.tokens
        fit.progress.begin("training", budget)
        fit.progress.advance(min(self._place.tokens, budget))
        self._network.model.drop(self._config.dropout)
        self._network.train()
        while not self._finished():
            # The epoch's own chance: a resumed run draws it again and skips what is done.
            rng = np.random.default_rng((self._config.seed, self._place.epoch))
            for number, batch in enumerate(epoch(blocks, fit.fmt, fit.catalog, self._config, rng)):
                if number < self._place.batches:
                    continue
                self._learn(batch)
                if self._finished():
                    break
            if not self._place.batches:
                raise BadDataSet(
                    "no user has a training request with a history before it: there is nothing to train on"
                )
            if not self._finished():
                self._place.epoch += 1
                self._place.batches = 0
        self._look_at_the_rest()
        if self._best:
            self._network.load_state_dict(self._best)

    def report(self) -> FitReport:
        """What was done."""
        place = self._place
        means = place.means or [math.nan] * 3
        return FitReport(
            steps=place.steps,
            epochs=place.epoch + 1,
            tokens=place.tokens,
            tokens_per_s=self._tokens_per_s(),
            ntp=means[0],
            ldpo=means[1],
            rsp=means[2],
            best=place.best,
        )

    def _finished(self) -> bool:
        return self._place.stopped or self._place.tokens >= self._config.optimiser.tokens

    def _learn(self, batch: Batch) -> None:
        """One step, and what is due after it."""
        place, optimiser_config = self._place, self._config.optimiser
        devices = self._devices
        packed = batch.packed(self._fit.fmt, devices.rank, devices.processes).to(devices.device)
        rate = rate_at(optimiser_config, place.tokens / optimiser_config.tokens)
        set_rate(self._plain, rate)
        # Dropout is a function of seed and step: there is no generator whose state a checkpoint would have to hold.
        torch.manual_seed(
            int(np.random.SeedSequence((self._config.seed, place.steps, devices.rank)).generate_state(1)[0])
        )
        step: StepLosses = self._losses(packed)
        self._optimiser.zero_grad(set_to_none=True)
        devices.backward(step)
        norm = devices.clip(self._losses, optimiser_config.clip)
        if not math.isfinite(norm):
            # Before the weights take it, and before a checkpoint of them takes the place of a good one.
            raise BadConfig(
                f"training diverged in step {place.steps + 1}: its gradient is not finite; lower "
                "optimiser.learning_rate, or have a longer optimiser.warmup_share"
            )
        self._optimiser.step()
        parts = devices.sum_over(
            torch.stack([step.ntp, step.ldpo, step.rsp, step.history, step.total.detach()])
        ).tolist()
        place.steps += 1
        place.batches += 1
        place.tokens += batch.tokens
        place.means = [
            new if not place.means else (1 - NEWEST) * old + NEWEST * new
            for old, new in zip(place.means or parts[:3], parts[:3], strict=True)
        ]
        self._tell(batch, parts, rate, float(norm))
        self._look_if_due()
        self._save_if_due()

    def _tell(self, batch: Batch, parts: list[float], rate: float, norm: float) -> None:
        place, budget = self._place, self._config.optimiser.tokens
        ntp, ldpo, rsp = place.means
        per_s = self._tokens_per_s()
        units = min(place.tokens, budget) - min(place.tokens - batch.tokens, budget)
        self._fit.progress.advance(units, f"ntp {ntp:.3f} ldpo {ldpo:.3f} rsp {rsp:.3f}, {per_s:,.0f} tokens/s")
        left_s = max(budget - place.tokens, 0) / per_s if per_s else 0.0
        line: dict[str, float] = {"step": place.steps, "epoch": place.epoch + 1, "tokens": place.tokens}
        line |= dict(zip(("ntp", "ldpo", "rsp", "history", "loss"), parts, strict=True))
        line |= {"rate": rate, "gradient_norm": norm, "tokens_per_s": round(per_s, 1), "left_s": round(left_s, 1)}
        self._write(line)

    def _tokens_per_s(self) -> float:
        seconds = self._fit.clock() - self._begun_s
        return (self._place.tokens - self._begun_tokens) / seconds if seconds > 0 else 0.0

    def _look_if_due(self) -> None:
        """Validate; keep the best weights; stop where they have been the best for too long."""
        place, validation = self._place, self._config.validation
        if self._fit.look is None or not validation.every_tokens or place.tokens < place.next_look:
            return
        while place.next_look <= place.tokens:
            place.next_look += validation.every_tokens
        self._look()

    def _look_at_the_rest(self) -> None:
        """What was learnt since the last look: where the budget is no multiple of the distance between two."""
        if not self._place.stopped and self._place.looked_steps != self._place.steps:
            self._look()

    def _look(self) -> None:
        place, validation = self._place, self._config.validation
        if self._fit.look is None or not validation.every_tokens:
            return
        place.looked_steps = place.steps
        self._network.eval()
        value = self._devices.from_main(self._fit.look(self._network) if self._devices.main else 0.0)
        self._network.train()
        better = place.best is None or value > place.best
        if better:
            place.best, place.looks_since_best = value, 0
            self._best = {name: tensor.detach().clone() for name, tensor in self._network.state_dict().items()}
        else:
            place.looks_since_best += 1
            place.stopped = place.looks_since_best >= validation.patience
        name = f"{validation.metric}@{validation.k}"
        self._write({"step": place.steps, "tokens": place.tokens, "validation": {name: value}, "best": better})

    def _write(self, line: Mapping[str, object]) -> None:
        if self._log is not None:
            self._log.add(line)

    def _save_if_due(self) -> None:
        place, run = self._place, self._fit.run
        if run is None or place.tokens < place.next_checkpoint:
            return
        while place.next_checkpoint <= place.tokens:
            place.next_checkpoint += self._config.checkpoint_tokens
        if self._devices.main:
            network = dict(self._network.state_dict())
            run.save(Checkpoint(place, network, optimiser_tensors(self._plain, self._names), self._best))

    def _resume(self) -> None:
        run = self._fit.run
        if run is None:
            return
        self._devices.wait()
        if (checkpoint := run.newest()) is not None:
            self._place = checkpoint.place
            self._network.load_state_dict(checkpoint.network)
            restore_optimiser(self._plain, checkpoint.optimiser, self._names)
            self._best = checkpoint.best
            self._begun_tokens = checkpoint.place.tokens
        self._devices.wait()
        if self._devices.main:
            self._log = StepLog(run, self._place.steps)


def _freeze_what_is_not_asked(network: RankGRNetwork, config: FitConfig) -> None:
    """Without RSP nothing trains the rank head: it then says the same of every code, and IAP alone decides."""
    asked = config.losses.gamma > 0
    network.rank_head.requires_grad_(asked)
    if not asked:
        network.rank_head.silence()
