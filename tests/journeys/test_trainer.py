"""A trainer as a process of its own: killed at any moment it loses no sample, repeats none, publishes nothing half."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from contracts.messages import Topic
from model.bundle.read import read_bundle
from model.training.incremental.checkpoint import StreamCheckpoint, StreamCheckpoints
from model.training.incremental.config import IncrementalConfig
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import BundleStore, Channel, Move, now_at
from services.gateways.event_stream.in_redis import RedisEventStream
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import free_port

from ..services.trainer.world import made, message
from .conftest import Start
from .processes import PROCESSES, Started, any_ports

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy]

Eventually = Callable[..., Awaitable[None]]
WITHIN_S = 240.0
SAMPLES = 240
KILLS = 4


@dataclass
class Ground:
    """A stream, a store whose first bundle serves, and a trainer's state."""

    place: Path
    redis_url: str

    def __post_init__(self) -> None:
        self.port = free_port()
        first = self.store.publish(made(self.place / "first"), 0).version
        self.store.move(Channel.LATEST, Move(number=1, version=first, at_ms=0))

    @property
    def store(self) -> BundleStore:
        return open_bundle_store(str(self.place / "store"))

    def told(self, **more: str) -> dict[str, str]:
        return {
            "RANKGR_REDIS_URL": self.redis_url,
            "RANKGR_BUNDLE_STORE": str(self.place / "store"),
            "RANKGR_TRAINER_STATE": str(self.place / "state"),
            "RANKGR_TRAINER_PORT": str(self.port),
            "RANKGR_TRAINER_PUBLISH_EVERY_S": "1",
            "RANKGR_TRAINER_CHECKPOINT_EVERY_S": "0.3",
            "RANKGR_TRAINER_LOOK_EVERY_S": "0.5",
            "RANKGR_TRAINER_BATCH_SAMPLES": "6",
            "RANKGR_TRAINER_READ_AT_ONCE": "5",
            "RANKGR_TRAINER_HELD_OUT_SHARE": "0.1",
            "RANKGR_TRAINER_HELD_OUT_S": "600",
            "RANKGR_TRAINER_GATE_GOLDEN_MS": "60000",
        } | more

    def kept(self) -> StreamCheckpoint | None:
        """What the trainer would go on from."""
        return StreamCheckpoints(self.place / "state" / "checkpoints", IncrementalConfig()).newest()

    def is_whole(self) -> bool:
        """Whether every version that can be seen can be served."""
        for number, one in enumerate(self.store.bundles()):
            place = self.place / f"read-{number}-{one.version}"
            if not place.exists():
                place.mkdir()
                self.store.fetch(one.version, place)
                read_bundle(place)
        return now_at(self.store.moves(Channel.LATEST)) in {one.version for one in self.store.bundles()}


async def publish(url: str, first: int, behind: int) -> None:
    stream = RedisEventStream.connect(url, SystemClock())
    for number in range(first, behind):
        await stream.publish(Topic.SAMPLES, f"u{number}", message(number).payload)
    await stream.close()


def learnt_and_waiting(found: StreamCheckpoint) -> int:
    """Samples that were taken in, by what became of them."""
    intake, counts = found.intake, found.place.counts
    gone = counts.get("empty_samples", 0) + counts.get("skipped_samples", 0)
    return found.place.samples + len(intake.pending) + len(intake.held_out) + gone


async def test_killed_at_any_moment_it_goes_on_without_losing_or_repeating_a_sample(
    start: Start, tmp_path: Path, redis_url: str, eventually: Eventually
) -> None:
    ground, chance = Ground(tmp_path, redis_url), random.Random(3)

    def moves() -> int:
        return len(ground.store.moves(Channel.LATEST))

    for kill in range(KILLS):
        await publish(redis_url, kill * SAMPLES // KILLS, (kill + 1) * SAMPLES // KILLS)
        before = moves()
        trainer: Started = start(ground.told(), "serve", "trainer")

        async def something_is_published(before: int = before, trainer: Started = trainer) -> bool:
            assert trainer.process.poll() is None, trainer.err[-2000:]
            return moves() > before

        await eventually(something_is_published, WITHIN_S)
        # Anywhere in the next round of learning, writing, judging and publishing.
        await asyncio.sleep(chance.uniform(0.0, 1.5))
        trainer.end(signal.SIGKILL)
        assert ground.is_whole()
    last = start(ground.told(), "serve", "trainer")

    async def all_is_kept() -> bool:
        assert last.process.poll() is None, last.err[-2000:]
        found = ground.kept()
        return found is not None and found.positions != {} and found.intake.counts["taken"] == SAMPLES

    await eventually(all_is_kept, WITHIN_S)
    assert last.end() == 0
    found = ground.kept()
    assert found is not None
    assert found.intake.counts["taken"] == SAMPLES
    assert found.intake.counts["repeated"] == 0
    assert learnt_and_waiting(found) == SAMPLES
    assert ground.is_whole()


async def test_it_answers_for_itself_and_follows_a_rollback(
    start: Start, tmp_path: Path, redis_url: str, eventually: Eventually, client: httpx.AsyncClient
) -> None:
    ground = Ground(tmp_path, redis_url)
    await publish(redis_url, 0, 60)
    trainer: Started = start(ground.told(), "serve", "trainer")
    url = f"http://127.0.0.1:{ground.port}"

    async def metrics() -> str:
        try:
            return (await client.get(f"{url}/metrics")).text
        except httpx.TransportError:
            assert trainer.process.poll() is None, trainer.err[-2000:]
            return ""

    async def published() -> bool:
        return 'rankgr_bundle_publications_total{outcome="promoted"} ' in await metrics() and ground.kept() is not None

    await eventually(published, WITHIN_S)
    assert (await client.get(f"{url}/readyz")).status_code == 200
    first = ground.store.moves(Channel.LATEST)[0].version
    latest = ground.store.moves(Channel.LATEST)
    ground.store.move(
        Channel.LATEST, Move(number=latest[-1].number + 1, version=first, at_ms=SystemClock().now_ms(), kind="rollback")
    )

    async def begun_anew() -> bool:
        return 'rankgr_trainer_begun_anew_total{reason="overtaken"}' in await metrics()

    await eventually(begun_anew, WITHIN_S)
    assert "training begins again from that" in trainer.err
    # What had been learnt is not published over it; nothing new came.
    assert now_at(ground.store.moves(Channel.LATEST)) == first
    assert trainer.end() == 0


async def test_without_anything_to_learn_on_it_says_so_in_one_line(
    start: Start, tmp_path: Path, redis_url: str
) -> None:
    told = {"RANKGR_REDIS_URL": redis_url, "RANKGR_BUNDLE_STORE": str(tmp_path / "empty"), "RANKGR_TRAINER_PORT": "0"}
    trainer: Started = start(told | {"RANKGR_TRAINER_STATE": str(tmp_path / "state")}, "serve", "trainer")
    assert await asyncio.to_thread(trainer.process.wait, WITHIN_S) == 1
    assert trainer.complaints() == [
        "rankgr trainer: the bundle store has no latest to learn on: promote a bundle first"
    ]


async def test_a_stack_that_learns_serves_what_the_store_has(
    start: Start, tmp_path: Path, eventually: Eventually, micro_bundle: Path, client: httpx.AsyncClient
) -> None:
    told = any_ports() | {"RANKGR_TRAINER_PORT": "0"}
    up: Started = start(told, "up", "--learn", "--bundle", micro_bundle, "--state", tmp_path / "state")

    async def serving() -> bool:
        return up.is_up()

    await eventually(serving, WITHIN_S)
    urls = up.urls()
    assert set(urls) == {*PROCESSES, "trainer"}
    assert (await client.get(f"{urls['trainer']}/readyz")).status_code == 200
    store = open_bundle_store(str(tmp_path / "state" / "store"))
    [one] = store.bundles()
    assert now_at(store.moves(Channel.LATEST)) == one.version
    assert one.manifest.model_version == read_bundle(micro_bundle).manifest.model_version
    assert up.end() == 0
