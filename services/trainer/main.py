"""Wiring of the trainer: stream, bundle store, learner, a face for health and metrics.  Nothing else here constructs.

Under torchrun the first process is the trainer; the others do as it says, and listen nowhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from fastapi import FastAPI

from contracts.errors import BadBundle, BundleStoreDown, NoSuchBundle, RankGRError, StreamDown
from contracts.messages import Topic
from model.build.read_recipe import read_recipe
from model.build.stream_training import taught
from model.bundle.read import read_bundle
from model.training.devices import Devices, is_main_process
from model.training.incremental.checkpoint import StreamCheckpoint, StreamCheckpoints
from model.training.incremental.config import GuardConfig, HeldOutConfig, IncrementalConfig, PopularConfig, ReplayConfig
from model.training.incremental.learner import Learner
from model.training.incremental.orders import follow_orders
from model.training.kept_memory import freed_memory_kept
from services.bundles.gate import GateRules
from services.bundles.publication import PublicationMetrics
from services.bundles.staging import Staging
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.event_stream.chosen import open_stream
from services.runtime.auth import Scope
from services.runtime.clock import SystemClock
from services.runtime.consume_beside import ConsumeBeside
from services.runtime.gate import Door
from services.runtime.http import create_app
from services.runtime.key_file import access_by
from services.runtime.lifecycle import one_line_errors, run_app
from services.runtime.settings import read_settings
from services.runtime.sole_use import sole_use
from services.runtime.telemetry import configure_logging, new_registry
from services.trainer.consumer import PortionQueue, ReadSamples
from services.trainer.learn_samples import LearnSamples, Rhythm
from services.trainer.lineage import Lineage
from services.trainer.metrics import TrainerMetrics
from services.trainer.publish_weights import PublishWeights
from services.trainer.settings import TrainerSettings

NAME = "trainer"
OTHERWISE = "trainer: stop that one, or set RANKGR_TRAINER_STATE to another directory"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Trainer:
    """The app, whose lifespan learns; `failure`: why training ended by itself."""

    app: FastAPI
    learn: LearnSamples
    failure: RankGRError | None = field(default=None, init=False)


def create(settings: TrainerSettings) -> Trainer:
    """Put the trainer together: as it was kept, or from what serves.

    Raises NoSuchBundle where nothing serves yet, BundleStoreDown, BadBundle; BadConfig for a checkpoint or a
    configuration file that cannot be read; BadKeyFile.
    """
    registry, clock = new_registry(), SystemClock()
    door = Door.of(access_by(settings.api_keys_file), Scope.ADMIN)
    metrics = TrainerMetrics(registry)
    publish = PublishWeights(
        store=open_bundle_store(settings.bundle_store),
        clock=clock,
        by=f"trainer@{socket.gethostname()}",
        keep=settings.bundle_keep,
        rules=GateRules(settings.gate_golden_ms, settings.gate_k, settings.gate_max_fall, settings.gate_min_users),
        staging=Staging(settings.state / "bundles"),
        candidate=settings.state / "candidate",
        note=PublicationMetrics(registry).note,
    )
    lineage, found = _beginning(settings, publish)
    # Of several processes the others begin with the same.
    begin = {"bundle": str(publish.base(lineage).resolve()), "resume": found is not None}
    Devices(settings.precision).bytes_from_main(json.dumps(begin).encode())
    learner = _learner(settings, publish.base(lineage), found)
    learn = LearnSamples(
        learner=learner,
        lineage=lineage,
        checkpoints=StreamCheckpoints(settings.state / "checkpoints", learner.config),
        publish=publish,
        clock=clock,
        metrics=metrics,
        rhythm=Rhythm(settings.publish_every_s, settings.checkpoint_every_s, settings.look_every_s, settings.refusals),
        positions={} if found is None else found.positions,
    )
    stream = open_stream(settings, clock)
    portions = PortionQueue()
    # Its positions may come from a checkpoint that another stream wrote: found out before anything is served.
    reader = stream.reader(Topic.SAMPLES, NAME, learn.positions)
    beside = ConsumeBeside(ReadSamples(reader, portions, metrics, settings.read_at_once, clock.monotonic_s))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        learning = asyncio.create_task(asyncio.to_thread(_learn, trainer, portions))
        try:
            async with beside.running():
                yield
        finally:
            portions.stop()
            await learning
            kept = portions.newly_kept()
            if kept:
                await _tell_kept(reader.keep(kept))
            await reader.close()
            await stream.close()

    async def ready() -> None:
        beside.check()
        if trainer.failure is not None:
            raise trainer.failure
        await stream.ping()

    trainer = Trainer(create_app("RankGR trainer", ready=ready, metrics=registry, door=door, lifespan=lifespan), learn)
    return trainer


def _beginning(settings: TrainerSettings, publish: PublishWeights) -> tuple[Lineage, StreamCheckpoint | None]:
    """As it was kept, whatever serves meanwhile: that is looked at first of all.  Else from what serves."""
    found = _checkpoints(settings).newest()
    if found is not None:
        lineage = Lineage.of(found.told)
        try:
            publish.base(lineage)
        except (BadBundle, NoSuchBundle) as error:
            # Removed from the store, and this machine's copy too: its weights have no catalogue to go on with.
            _log.warning("the bundle that was learnt on is gone, training begins again from what serves: %s", error)
        else:
            return lineage, found
    version = publish.serving()
    if version is None:
        raise NoSuchBundle("the bundle store has no latest to learn on: promote a bundle first")
    try:
        return publish.first(version)[0], None
    except OSError as error:
        raise BundleStoreDown(f"{settings.state}: {error.strerror or error}") from error


def _checkpoints(settings: TrainerSettings) -> StreamCheckpoints:
    # Which losses they were made with does not matter to what they hold.
    return StreamCheckpoints(settings.state / "checkpoints", _config(settings, None))


def _learner(settings: TrainerSettings, bundle: Path, found: StreamCheckpoint | None) -> Learner:
    read = read_bundle(bundle)
    config = _config(settings, bundle)
    network = read.network()
    if found is None:
        learner = Learner(network, read.prompt_format, read.catalog, config)
        learner.place.newest_learnt_ms = read.manifest.newest_interaction_ms
        learner.intake.popular.begin(read.popular)
        return learner
    network.load_state_dict(found.network)
    found.intake.config = config
    learner = Learner(network, read.prompt_format, read.catalog, config, intake=found.intake, place=found.place)
    learner.restore_optimiser(found.optimiser)
    if learner.intake.popular.empty:
        # Kept by an earlier release, or while nothing was counted.
        learner.intake.popular.begin(read.popular)
    return learner


def _config(settings: TrainerSettings, bundle: Path | None) -> IncrementalConfig:
    """Losses and rate are those of the settings, else the bundle's.

    Raises BadConfig for a configuration file that cannot be read, BadBundle for losses that nobody here knows.
    """
    given = None if settings.config is None else read_recipe(settings.config)
    config = IncrementalConfig(
        seed=settings.seed,
        batch_samples=settings.batch_samples,
        warmup_steps=settings.warmup_steps,
        precision=settings.precision,
        guards=GuardConfig(explosion=settings.explosion, most_in_a_row=settings.skipped_in_row),
        held_out=HeldOutConfig(
            share=settings.held_out_share, hold_ms=round(settings.held_out_s * 1000), most=settings.held_out_most
        ),
        replay=ReplayConfig(share=settings.replay_share, reservoir=settings.reservoir, horizon=settings.replay_horizon),
        popular=PopularConfig(half_life_ms=round(settings.popular_half_life_s * 1000), prior=settings.popular_prior),
        follow_losses=True,
        follow_rate=True,
    )
    if bundle is not None:
        config = config.taught(taught(bundle, given))
    # What was told once stays, whichever bundle training begins from later.
    config = replace(config, follow_losses=given is None, follow_rate=given is None and settings.learning_rate is None)
    return config if settings.learning_rate is None else replace(config, learning_rate=settings.learning_rate)


def _learn(trainer: Trainer, portions: PortionQueue) -> None:
    """In a thread; where training cannot go on, the process ends with one line."""
    try:
        with freed_memory_kept():
            trainer.learn(portions)
    except RankGRError as error:
        trainer.failure = error
        _log.error("training ended: %s", error)
    except (RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
        # A library that breaks on these samples, or a disk: the next start goes on from the last checkpoint.
        trainer.failure = StreamDown(f"training broke: {type(error).__name__}; the log says where")
        _log.exception("training broke")
    if trainer.failure is not None:
        signal.raise_signal(signal.SIGTERM)


async def _tell_kept(telling: Awaitable[None]) -> None:
    try:
        await telling
    except StreamDown as error:
        _log.warning("the stream was not told what is kept: %s", error)


def _follow(settings: TrainerSettings) -> None:
    """One of the other processes; it ends when the first one says so, or is gone."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # torchrun tells everybody; the first one still has steps to end, and they are made together.
        signal.signal(number, signal.SIG_IGN)
    told = json.loads(Devices(settings.precision).bytes_from_main(b""))
    found = _checkpoints(settings).newest() if told["resume"] else None
    follow_orders(_learner(settings, Path(told["bundle"]), found))


def main() -> None:
    """Read the environment, learn until told to stop; SystemExit with one line for what stands in the way."""
    settings = read_settings(TrainerSettings)
    configure_logging(NAME, settings.log_level)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with one_line_errors(NAME):
        if not is_main_process():
            _follow(settings)
            return
        with sole_use(settings.state, OTHERWISE):
            trainer = create(settings)
            run_app(trainer.app, settings.host, settings.port, name=NAME, drain_s=settings.drain_s)
    if trainer.failure is not None:
        raise SystemExit(f"rankgr {NAME}: {trainer.failure}")
