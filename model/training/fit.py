"""Fit a network on rows: token-budgeted, seeded, the same rows and seed giving the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from contracts.progress import Progress
from model.data.timelines import Timeline
from model.network.network import RankGRNetwork
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.semantic_id.trie import Trie
from model.training.config import FitConfig
from model.training.packing import pack
from model.training.samples import RowMaker, TrainingRow
from model.training.step import StepLosses, TrainingLosses
from model.training.valid_codes import ValidCodes


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit did: optimiser steps, epochs begun, tokens computed, and the last losses."""

    steps: int
    epochs: int
    tokens: int
    ntp: float
    ldpo: float
    rsp: float


def fit(
    network: RankGRNetwork,
    timelines: Sequence[Timeline],
    fmt: PromptFormat,
    catalog: Catalog,
    config: FitConfig,
    progress: Progress,
) -> FitReport:
    """Train in place until the token budget is spent; targets and negatives are drawn anew every epoch.

    Raises ValueError when no timeline gives a row.
    """
    with _repeatable():
        return _fit(network, timelines, fmt, catalog, config, progress)


@contextmanager
def _repeatable() -> Iterator[None]:
    """With several threads, sums over gathered rows come out in another order every time, unless told not to."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _fit(
    network: RankGRNetwork,
    timelines: Sequence[Timeline],
    fmt: PromptFormat,
    catalog: Catalog,
    config: FitConfig,
    progress: Progress,
) -> FitReport:
    rng = np.random.default_rng(config.seed)
    chance = torch.Generator().manual_seed(config.seed)
    losses = TrainingLosses(network, ValidCodes(Trie.of_catalog(catalog)), config)
    optimiser = _optimiser(network, config)
    make_rows = RowMaker(fmt, catalog, config.samples)
    progress.begin("training", config.optimiser.tokens)
    network.train()
    spent = steps = epochs = 0
    shown = _Shown()
    while spent < config.optimiser.tokens:
        epochs += 1
        batches = 0
        for rows in _batches(timelines, make_rows, config.optimiser.batch_tokens, rng):
            batches += 1
            batch = pack(rows, fmt)
            _set_learning_rate(optimiser, config, spent / config.optimiser.tokens)
            step = losses(batch, chance)
            optimiser.zero_grad(set_to_none=True)
            step.total.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.clip)
            optimiser.step()
            steps += 1
            shown.add(step)
            progress.advance(min(batch.tokens, config.optimiser.tokens - spent), shown.note())
            spent += batch.tokens
            if spent >= config.optimiser.tokens:
                break
        if not batches:
            raise ValueError("no session has a known item in its history: there is nothing to train on")
    network.eval()
    return FitReport(steps, epochs, spent, *shown.means)


class _Shown:
    """Running means of the losses, for people and for the report."""

    def __init__(self) -> None:
        self.means = (math.nan, math.nan, math.nan)

    def add(self, step: StepLosses) -> None:
        now = (float(step.ntp.detach()), float(step.ldpo.detach()), float(step.rsp.detach()))
        first = math.isnan(self.means[0])
        ntp, ldpo, rsp = (new if first else 0.98 * old + 0.02 * new for old, new in zip(self.means, now, strict=True))
        self.means = (ntp, ldpo, rsp)

    def note(self) -> str:
        ntp, ldpo, rsp = self.means
        return f"ntp {ntp:.3f} ldpo {ldpo:.3f} rsp {rsp:.3f}"


def _optimiser(network: RankGRNetwork, config: FitConfig) -> torch.optim.AdamW:
    """No decay for vectors: norms and biases."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.optimiser.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.optimiser.learning_rate, betas=(0.9, 0.98))


def _set_learning_rate(optimiser: torch.optim.AdamW, config: FitConfig, done: float) -> None:
    """Linear warm-up, then a cosine down to a twentieth."""
    if done < config.optimiser.warmup_share:
        factor = (done + 1e-3) / config.optimiser.warmup_share
    else:
        rest = (done - config.optimiser.warmup_share) / max(1.0 - config.optimiser.warmup_share, 1e-9)
        factor = 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * min(rest, 1.0)))
    for group in optimiser.param_groups:
        group["lr"] = config.optimiser.learning_rate * min(factor, 1.0)


def _batches(
    timelines: Sequence[Timeline],
    make_rows: Callable[[Timeline, np.random.Generator], Iterable[TrainingRow]],
    most_tokens: int,
    rng: np.random.Generator,
) -> Iterator[list[TrainingRow]]:
    """One epoch: users in chance order, rows of like length together, batches in chance order within a stretch."""
    order = rng.permutation(len(timelines))
    stretch: list[TrainingRow] = []
    for user in order:
        stretch.extend(make_rows(timelines[user], rng))
        if len(stretch) >= STRETCH_ROWS:
            yield from _of_like_length(stretch, most_tokens, rng)
            stretch = []
    yield from _of_like_length(stretch, most_tokens, rng)


# Enough rows to find some of like length, few enough that memory does not grow with the number of users.
STRETCH_ROWS = 2048


def _of_like_length(rows: list[TrainingRow], most_tokens: int, rng: np.random.Generator) -> Iterator[list[TrainingRow]]:
    batches: list[list[TrainingRow]] = []
    batch: list[TrainingRow] = []
    for row in sorted(rows, key=lambda row: row.tokens):
        if batch and row.tokens * (len(batch) + 1) > most_tokens:
            batches.append(batch)
            batch = []
        batch.append(row)
    if batch:
        batches.append(batch)
    for place in rng.permutation(len(batches)):
        yield batches[place]
