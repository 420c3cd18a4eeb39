"""Fill a table cell by cell: train what is not trained, measure what is not measured, keep each at once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from contracts.behaviors import Level
from contracts.errors import BadResults
from contracts.progress import Progress
from model.baselines.fit import BaselineConfig, Method, fit_baseline
from model.build.recipe import Recipe
from model.build.source import Source, fingerprint
from model.bundle.read import Bundle, read_bundle
from model.bundle.verify import read_manifest
from model.data.data_set import DataSet
from model.data.log import Split
from model.data.timelines import HeldOut
from model.evaluation.evaluate import measure_users
from model.evaluation.measured_users import measured_users
from model.evaluation.user_metrics import TruthMetrics, UserMetrics
from model.study.cells import Cell, Cells
from model.study.lists import TooManyCombinations, WithoutTrie, method_of
from model.study.variants import Variant

Train = Callable[[Recipe, Source, Path, bool], None]
"""Trains by a recipe, with the source's seed, and writes the bundle whole or not at all; True: over what is there."""

INVALID = "invalid_sids"
IDENTITY_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured: the split, the K, and at most so many users (0: all), the same ones for everybody."""

    split: Split = Split.TEST
    ks: tuple[int, ...] = (10, 20, 100, 500)
    users: int = 0


@dataclass(frozen=True, slots=True)
class Study:
    """One table: data, what is measured, where its cells are kept.

    `force` measures again; a bundle stays, unless it came from other data or by another recipe.
    """

    data: DataSet
    measure: Measure
    out: Path
    release: str
    train: Train
    progress: Progress
    force: bool = False

    def baseline(self, name: str, method: Method, config: BaselineConfig) -> Cell:
        """A baseline's cell, fitted and measured where it is not there."""
        seed = config.sasrec.seed
        identity = self._identity({"method": method.value, "config": config.used_by(method)})
        if (kept := self._kept(name, seed, identity)) is not None:
            return kept
        started = time.monotonic()
        fitted = fit_baseline(method, self.data, config, self.progress)
        trained = time.monotonic()
        users = self._users(config.history_level)
        self.progress.begin(f"measuring {name}", len(users))
        metrics = measure_users(fitted, users, self.measure.ks, batch=256, advance=self.progress.advance)
        return self._keep(Cell(name, seed, identity, trained - started, time.monotonic() - trained, metrics))

    def variant(self, variant: Variant, seed: int) -> Cell:
        """A variant's cell; its bundle is trained where it is not there."""
        source = Source.of(self.data, preset=variant.bundle, recipe=variant.recipe, seed=seed, release=self.release)
        identity = self._identity({"source": source.as_json(), "decoding": asdict(variant.decoding)})
        if (kept := self._kept(variant.name, seed, identity)) is not None:
            return kept
        started = time.monotonic()
        bundle = self._bundle(variant, source)
        trained = time.monotonic()
        method = method_of(bundle, variant.decoding, max(self.measure.ks))
        users = self._users(bundle.prompt_format.history_level)
        self.progress.begin(f"measuring {variant.name}", len(users))
        metrics = measure_users(method, users, self.measure.ks, advance=self.progress.advance)
        if isinstance(method, WithoutTrie):
            metrics = self._with_invalid(metrics, method, users)
        return self._keep(Cell(variant.name, seed, identity, trained - started, time.monotonic() - trained, metrics))

    def _bundle(self, variant: Variant, source: Source) -> Bundle:
        place = self.out / "bundles" / f"{variant.bundle}-seed{source.seed}"
        if not place.exists() or not source.made(read_manifest(place)):
            if place.exists() and not self.force:
                raise BadResults(
                    f"{place} was trained on other data or by another recipe; name another --out, or train again with "
                    "--force"
                )
            place.parent.mkdir(parents=True, exist_ok=True)
            self.train(variant.recipe, source, place, self.force)
        return read_bundle(place)

    def _users(self, history_level: Level) -> list[HeldOut]:
        users = measured_users(self.data, self.measure.split, history_level, apart=True)
        if 0 < self.measure.users < len(users):
            chosen = np.random.default_rng(0).choice(len(users), self.measure.users, replace=False)
            users = [users[place] for place in np.sort(chosen)]
        return users

    def _with_invalid(self, metrics: UserMetrics, method: WithoutTrie, users: Sequence[HeldOut]) -> UserMetrics:
        shares = np.column_stack([method.invalid_share(users, k) for k in self.measure.ks])
        names = tuple(f"share@{k}" for k in self.measure.ks)
        own = TruthMetrics(tuple(user.user for user in users), names, shares)
        return UserMetrics(metrics.truths | {INVALID: own})

    def _identity(self, of: dict[str, object]) -> str:
        # `filtered`: cells that were kept before there were such metrics are other measurements.
        all_of_it = {"measure": repr(self.measure), "filtered": True, "data": fingerprint(self.data), **of}
        return hashlib.sha256(json.dumps(all_of_it, sort_keys=True).encode()).hexdigest()[:IDENTITY_DIGITS]

    def _kept(self, name: str, seed: int, identity: str) -> Cell | None:
        if self.force:
            return None
        return Cells(self.out).find(name, seed, identity)

    def _keep(self, cell: Cell) -> Cell:
        Cells(self.out).keep(cell)
        return cell


def run(
    study: Study, variants: Sequence[Variant], seeds: Sequence[int], note: Callable[[str], None] = lambda _line: None
) -> Iterator[Cell]:
    """Cells of all variants, seeds in turn; sweeps take the first seed alone.

    What cannot be decoded without a trie, for too many combinations of codes, is left out with a note.
    """
    for place, seed in enumerate(seeds):
        for variant in variants:
            if not variant.every_seed and place > 0:
                continue
            try:
                yield study.variant(variant, seed)
            except TooManyCombinations as error:
                note(f"{variant.name} is left out: {error}")
