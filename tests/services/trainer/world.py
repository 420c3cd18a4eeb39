"""A trainer on a directory store and samples of a small world, put together as its main file does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from contracts.behaviors import Level
from contracts.ids import EventId, ItemId, UserId
from contracts.messages import SessionSampled
from model.bundle.read import read_bundle
from model.bundle.write import write_bundle
from model.semantic_id.catalog import Catalog
from model.training.incremental.checkpoint import StreamCheckpoints
from model.training.incremental.config import GuardConfig, HeldOutConfig, IncrementalConfig, ReplayConfig
from model.training.incremental.learner import Learner
from services.bundles.gate import GateRules
from services.bundles.publication import PublicationMetrics
from services.bundles.staging import Staging
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import BundleStore, Channel, Move, next_move, now_at
from services.runtime.clock import ManualClock
from services.trainer.learn_samples import LearnSamples, Rhythm, SampleMessage
from services.trainer.lineage import Lineage
from services.trainer.metrics import TrainerMetrics
from services.trainer.publish_weights import PublishWeights
from tests.model.bundle.contents import SIZES, contents

BEGAN_MS = 1_763_769_600_000
ITEMS = (3, 7, 12, 20, 21, 55, 901)
CONFIG = IncrementalConfig(
    batch_samples=6,
    learning_rate=3e-3,
    warmup_steps=2,
    guards=GuardConfig(explosion=100.0),
    held_out=HeldOutConfig(share=0.2, hold_ms=600_000),
    replay=ReplayConfig(share=0.3, reservoir=20),
)
RULES = GateRules(golden_ms=60_000, k=3, min_users=5)
RHYTHM = Rhythm(publish_every_s=60, checkpoint_every_s=10, look_every_s=5, refusals=2)


def made(place: Path, seed: int = 0, *, items: int | None = None) -> Path:
    """A bundle of this seed's weights, with the world's items or some more."""
    of = contents(seed)
    if items is not None:
        old = of.catalog
        codes = np.array([[1, 0], [0, 1], [2, 2]], np.int32)[:items]
        more = Catalog(
            np.append(old.item_id, 2**41 + np.arange(items)),
            np.concatenate([old.codes, codes]),
            np.ones(len(old) + items, np.float32),
            SIZES,
        )
        of = dataclasses.replace(of, catalog=more)
    write_bundle(of, place)
    return place


def message(number: int, *, items: Sequence[int] = ITEMS) -> SampleMessage:
    """Sample `number`, one every ten seconds, of one of forty users."""
    chance = np.random.default_rng(number)
    shown = chance.choice(np.array(items), 3, replace=False).tolist()
    at = BEGAN_MS + number * 10_000
    told = SessionSampled(
        sample_id=EventId(f"s{number}"),
        revision=0,
        user_id=UserId(f"u{number % 40}"),
        requested_at=at,
        newest_event_at=at + 5_000,
        scene="home",
        item_ids=tuple(map(ItemId, shown)),
        levels=(Level.CLICK, Level.EXPOSURE, Level.PSEUDO_EXPOSURE),
        history_item_ids=tuple(map(ItemId, chance.choice(np.array(items), 4).tolist())),
        history_levels=(Level.CLICK,) * 4,
    )
    return SampleMessage("0", str(number + 1), told.model_dump_json().encode())


def messages(first: int, behind: int) -> list[SampleMessage]:
    """Samples first ..< behind."""
    return [message(number) for number in range(first, behind)]


@dataclass
class World:
    """A store with one bundle that serves, and as many trainers as a test wants, each with a state of its own."""

    place: Path
    rules: GateRules = RULES
    rhythm: Rhythm = RHYTHM
    clock: ManualClock = field(default_factory=ManualClock)
    store: BundleStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = open_bundle_store(str(self.place / "store"))
        self.promote(made(self.place / "first"))

    def promote(self, bundle: Path) -> str:
        """Past every gate, as a person may."""
        version = self.store.publish(bundle, self.clock.now_ms()).version
        self.point_to(version)
        return version

    def point_to(self, version: str) -> None:
        """Move `latest`."""
        number = next_move(self.store.moves(Channel.LATEST))
        self.store.move(Channel.LATEST, Move(number=number, version=version, at_ms=self.clock.now_ms(), by="a person"))

    @property
    def serving(self) -> str:
        """The version that serves."""
        version = now_at(self.store.moves(Channel.LATEST))
        assert version is not None
        return version

    def trainer(
        self, name: str = "one", config: IncrementalConfig = CONFIG, store: BundleStore | None = None
    ) -> Trainer:
        """As it was kept under this name, or from what serves."""
        return Trainer(self, self.place / name, config, store or self.store)


class Trainer:
    """What main.py builds, without a stream and without HTTP."""

    def __init__(self, world: World, state: Path, config: IncrementalConfig, store: BundleStore) -> None:
        self.registry = CollectorRegistry()
        publish = PublishWeights(
            store=store,
            clock=world.clock,
            by=state.name,
            keep=20,
            rules=world.rules,
            staging=Staging(state / "bundles"),
            candidate=state / "candidate",
            note=PublicationMetrics(self.registry).note,
        )
        checkpoints = StreamCheckpoints(state / "checkpoints", config)
        found = checkpoints.newest()
        lineage = publish.first(world.serving)[0] if found is None else Lineage.of(found.told)
        bundle = read_bundle(publish.base(lineage))
        network = bundle.network()
        if found is not None:
            network.load_state_dict(found.network)
        learner = Learner(
            network,
            bundle.prompt_format,
            bundle.catalog,
            config,
            intake=None if found is None else found.intake,
            place=None if found is None else found.place,
        )
        if found is not None:
            learner.restore_optimiser(found.optimiser)
        if learner.intake.popular.empty:
            learner.intake.popular.begin(bundle.popular)
        self.learn = LearnSamples(
            learner,
            lineage,
            checkpoints,
            publish,
            world.clock,
            TrainerMetrics(self.registry),
            world.rhythm,
            {} if found is None else found.positions,
        )

    @property
    def learner(self) -> Learner:
        """What learns."""
        return self.learn.learner

    def metric(self, name: str, **labels: str) -> float:
        """A metric's value, 0 where it was never counted."""
        return self.registry.get_sample_value(name, labels) or 0.0
