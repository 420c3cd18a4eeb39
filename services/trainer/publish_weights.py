"""What the trainer and the bundle store say to each other: what serves now, and whether it shall be our weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from contracts.errors import BadBundle, PointerMoved
from contracts.manifest import Manifest, PopularList
from model.bundle.prompt_side import CONFIG_FILE
from model.bundle.read import WEIGHTS_FILE, Bundle, read_bundle, read_popular
from model.bundle.renew import Renewal, renew_bundle
from model.bundle.verify import read_manifest
from model.data.timelines import HeldOut
from model.training.incremental.learner import Learner
from model.training.incremental.stream_sample import newest_of_each_user
from services.bundles.canary import wanted
from services.bundles.gate import Gate, GateRules
from services.bundles.promote import PromoteBundle, Promoted, Verdict
from services.bundles.publication import Publication
from services.bundles.staging import Staging
from services.gateways.bundle_store.port import BundleStore, Channel, now_at, version_of
from services.runtime.clock import Clock
from services.trainer.lineage import Lineage


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What serves is what our weights grew from, or our weights themselves; nothing at all serves counts as that."""

    lineage: Lineage


@dataclass(frozen=True, slots=True)
class OtherCatalogue:
    """What serves has the weights that ours grew from, and another catalogue: items came or went."""

    lineage: Lineage
    bundle: Path


@dataclass(frozen=True, slots=True)
class OtherWeights:
    """Somebody promoted or rolled back something else."""

    lineage: Lineage
    bundle: Path


Standing = Unchanged | OtherCatalogue | OtherWeights


@dataclass(frozen=True, slots=True)
class PublishWeights:
    """`staging` holds the bundle that the weights grew from; `candidate` is where a new one is written."""

    store: BundleStore
    clock: Clock
    by: str
    keep: int
    rules: GateRules
    staging: Staging
    candidate: Path
    note: Callable[[Publication], None] = lambda _outcome: None

    def serving(self) -> str | None:
        """The version that serves.  Raises BundleStoreDown."""
        return now_at(self.store.moves(Channel.LATEST))

    def watched_canary(self) -> str | None:
        """The canary that counts, while its time is not over: a promotion would end it.  Raises BundleStoreDown."""
        canary = self.store.moves(Channel.CANARY)
        move = wanted(Channel.CANARY, self.store.moves(Channel.LATEST), canary)
        if move is None or not canary or move != canary[-1] or move.hold_s is None:
            return None
        return move.version if self.clock.now_ms() < move.at_ms + move.hold_s * 1000 else None

    def fetched(self, version: str) -> Path:
        """Its directory on this machine, read whole once.  Raises BadBundle, NoSuchBundle, BundleStoreDown, OSError."""
        directory = self.staging.fetched(self.store, version)
        try:
            read_bundle(directory)
        except BadBundle:
            self.staging.discard(version)
            raise
        return directory

    def base(self, lineage: Lineage) -> Path:
        """The directory of what the weights grew from.  Raises as `fetched` does."""
        return self.staging.fetched(self.store, lineage.base)

    def first(self, version: str) -> tuple[Lineage, Path]:
        """A beginning from this version.  Raises as `fetched` does."""
        directory = self.fetched(version)
        lineage = Lineage(version, read_manifest(directory).files[WEIGHTS_FILE], tried_at_ms=self.clock.now_ms())
        return lineage, directory

    def standing(self, lineage: Lineage) -> Standing:
        """What serves now, in relation to our weights.  Raises as `fetched` does."""
        version = self.serving()
        if version is None or version == lineage.base:
            return Unchanged(lineage)
        directory = self.fetched(version)
        manifest = read_manifest(directory)
        now = replace(lineage, base=version, weights=manifest.files[WEIGHTS_FILE], candidate=None)
        if version == lineage.candidate:
            return Unchanged(replace(now, refusals=0))
        if now.weights == lineage.weights and manifest.files[CONFIG_FILE] == _config_of(self.base(lineage)):
            return OtherCatalogue(now, directory)
        return OtherWeights(replace(now, refusals=0), directory)

    def newest_serving_ms(self, lineage: Lineage) -> int | None:
        """Unix ms of the newest interaction in the weights of `lineage.base`."""
        return read_manifest(self.base(lineage)).newest_interaction_ms

    def write(self, learner: Learner, lineage: Lineage) -> Lineage:
        """The learner's weights as a bundle beside its base.  Raises BadBundle, OSError, BundleStoreDown."""
        place = learner.place
        renewal = Renewal(
            learner.network,
            datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC),
            place.newest_learnt_ms,
            {"learnt_samples": place.samples, "learnt_steps": place.steps, "learnt_from": lineage.base},
            self._popular(learner, lineage),
        )
        manifest: Manifest = renew_bundle(self.base(lineage), renewal, self.candidate, replace=True)
        return replace(lineage, candidate=version_of(manifest))

    def _popular(self, learner: Learner, lineage: Lineage) -> PopularList | None:
        popular = learner.intake.popular
        return None if popular.empty else popular.lists(learner.catalog, read_popular(self.base(lineage)))

    def promote(self, learner: Learner, lineage: Lineage) -> tuple[Promoted, Lineage]:
        """Publish what was written, if the gate lets it through and nothing else was promoted meanwhile.

        Raises as PromoteBundle does.
        """
        gate = Gate(self.rules, self.clock, held_out_users(learner))

        def judge(candidate: Bundle, serving: Bundle | None) -> Verdict:
            # Written before the store was asked what stands there: a catalogue that came in between must not be undone.
            if serving is None or version_of(serving.manifest) != lineage.base:
                raise PointerMoved(
                    "another bundle serves than the one that these weights and their catalogue grew from"
                )
            return gate(candidate, serving)

        promoted = PromoteBundle(self.store, self.clock, self.by, self.keep, judge, self.note)(self.candidate)
        version, files = promoted.bundle.version, promoted.bundle.manifest.files
        target = self.staging.place / version
        shutil.rmtree(target, ignore_errors=True)
        os.replace(self.candidate, target)
        self.staging.serves(version)
        return promoted, replace(lineage, base=version, weights=files[WEIGHTS_FILE], candidate=None, refusals=0)


def held_out_users(learner: Learner) -> list[HeldOut]:
    """Who the gate asks about: each user's newest sample of those that were not learnt from."""
    newest = newest_of_each_user(list(learner.intake.held_out.values()))
    found = (sample.held_out(learner.fmt.history_level) for sample in newest)
    return [user for user in found if user is not None]


def _config_of(directory: Path) -> str:
    return read_manifest(directory).files[CONFIG_FILE]
