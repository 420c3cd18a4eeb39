"""A trainer as a process of its own: killed at any moment it loses no sample, repeats none, publishes nothing half."""

from __future__ import annotations

import asyncio
import random
import re
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from contracts.errors import BadConfig
from contracts.messages import Topic
from model.bundle.read import read_bundle
from model.training.incremental.checkpoint import StreamCheckpoint, StreamCheckpoints
from model.training.incremental.config import IncrementalConfig
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import BundleStore, Channel, Move, now_at
from services.gateways.event_stream.in_redis import RedisEventStream
from services.gateways.event_stream.port import EventStream
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import free_port
from tests.kafka_broker import PARTITIONS

from ..services.trainer.world import made, message
from .brokers import TansuBroker
from .conftest import Start
from .hasty import HASTY
from .processes import PROCESSES, Started, any_ports
from .shop import Shop, items_of

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy]

Eventually = Callable[..., Awaitable[None]]
WITHIN_S = 240.0
SAMPLES = 240
KILLS = 4


@dataclass
class Ground:
    """A stream, a store whose first bundle serves, and a trainer's state; `stream`: where samples travel."""

    place: Path
    stream: Mapping[str, str]

    def __post_init__(self) -> None:
        self.port = free_port()
        first = self.store.publish(made(self.place / "first"), 0).version
        self.store.move(Channel.LATEST, Move(number=1, version=first, at_ms=0))

    @property
    def store(self) -> BundleStore:
        return open_bundle_store(str(self.place / "store"))

    def told(self, **more: str) -> dict[str, str]:
        return {
            **self.stream,
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
        """What the trainer would go on from; None where it is replaced while we read it."""
        try:
            return StreamCheckpoints(self.place / "state" / "checkpoints", IncrementalConfig()).newest()
        except BadConfig:
            return None

    def is_whole(self) -> bool:
        """Whether every version that can be seen can be served."""
        for number, one in enumerate(self.store.bundles()):
            place = self.place / f"read-{number}-{one.version}"
            if not place.exists():
                place.mkdir()
                self.store.fetch(one.version, place)
                read_bundle(place)
        return now_at(self.store.moves(Channel.LATEST)) in {one.version for one in self.store.bundles()}


def on_redis(url: str) -> dict[str, str]:
    return {"RANKGR_REDIS_URL": url}


async def publish(url: str, first: int, behind: int) -> None:
    stream = RedisEventStream.connect(url, SystemClock())
    await tell(stream, first, behind)
    await stream.close()


async def tell(stream: EventStream, first: int, behind: int) -> None:
    for number in range(first, behind):
        await stream.publish(Topic.SAMPLES, f"u{number}", message(number).payload)


def learnt_and_waiting(found: StreamCheckpoint) -> int:
    """Samples that were taken in, by what became of them."""
    intake, counts = found.intake, found.place.counts
    gone = counts.get("empty_samples", 0) + counts.get("skipped_samples", 0)
    return found.place.samples + len(intake.pending) + len(intake.held_out) + gone


async def test_killed_at_any_moment_it_goes_on_without_losing_or_repeating_a_sample(
    start: Start, tmp_path: Path, redis_url: str, eventually: Eventually
) -> None:
    ground, chance = Ground(tmp_path, on_redis(redis_url)), random.Random(3)

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
    # Where the one before had kept all of it, this one may still be starting, and has no handler of the signal yet.
    assert last.end() in (0, -signal.SIGTERM)
    found = ground.kept()
    assert found is not None
    assert found.intake.counts["taken"] == SAMPLES
    assert found.intake.counts["repeated"] == 0
    assert learnt_and_waiting(found) == SAMPLES
    assert ground.is_whole()


@pytest.fixture
def kafka() -> Iterator[TansuBroker]:
    made = TansuBroker.begin()
    yield made
    made.kill()


async def test_on_kafka_it_learns_and_publishes_and_goes_on_after_a_kill_in_the_middle(
    start: Start, tmp_path: Path, kafka: TansuBroker, eventually: Eventually
) -> None:
    ground, stream = Ground(tmp_path, kafka.told()), kafka.stream()

    async def taken_in(trainer: Started, wanted: int) -> bool:
        assert trainer.process.poll() is None, trainer.err[-2000:]
        found = ground.kept()
        return found is not None and found.intake.counts["taken"] >= wanted

    async def published() -> bool:
        return len(ground.store.moves(Channel.LATEST)) > 1

    await tell(stream, 0, 60)
    first: Started = start(ground.told(), "serve", "trainer")
    await eventually(published, WITHIN_S)
    await eventually(lambda: taken_in(first, 1), WITHIN_S)
    await tell(stream, 60, 90)
    # Somewhere in learning from them, or before, or in the next publication.
    await eventually(lambda: taken_in(first, 75), WITHIN_S)
    first.end(signal.SIGKILL)
    assert ground.is_whole()
    before = len(ground.store.moves(Channel.LATEST))
    await tell(stream, 90, 120)
    second: Started = start(ground.told(), "serve", "trainer")
    await eventually(lambda: taken_in(second, 120), WITHIN_S)

    async def published_again() -> bool:
        return len(ground.store.moves(Channel.LATEST)) > before

    await eventually(published_again, WITHIN_S)
    assert second.end() == 0
    found = ground.kept()
    assert found is not None
    assert found.intake.counts["taken"] == learnt_and_waiting(found) == 120
    assert found.intake.counts["repeated"] == 0
    # Every partition has a place in the log.
    assert len(found.positions) == PARTITIONS
    newest = now_at(ground.store.moves(Channel.LATEST))
    assert newest is not None
    assert ground.store.bundle(newest).manifest.newest_interaction_ms is not None
    assert ground.is_whole()
    await stream.close()


async def test_it_answers_for_itself_and_follows_a_rollback(
    start: Start, tmp_path: Path, redis_url: str, eventually: Eventually, client: httpx.AsyncClient
) -> None:
    ground = Ground(tmp_path, on_redis(redis_url))
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
        # The counter is there from the outset, at nought.
        counted = re.search(r'rankgr_bundle_publications_total\{outcome="promoted"\} [1-9]', await metrics())
        return counted is not None and ground.kept() is not None

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
    second: Started = start(ground.told(RANKGR_TRAINER_PORT="0"), "serve", "trainer")
    assert await asyncio.to_thread(second.process.wait, WITHIN_S) == 1
    assert "is in use by another trainer" in second.complaints()[-1]
    # What had been learnt is not published over it; at most what was still to be learnt, on the weights that came back.
    grew_from_first = {first}
    for move in ground.store.moves(Channel.LATEST)[len(latest) + 1 :]:
        assert move.version is not None
        assert ground.store.bundle(move.version).manifest.data["learnt_from"] in grew_from_first
        grew_from_first.add(move.version)
    assert trainer.end() == 0


async def test_of_two_trainers_on_one_store_the_slower_says_so_and_both_go_on(
    start: Start, tmp_path: Path, redis_url: str, eventually: Eventually
) -> None:
    ground = Ground(tmp_path, on_redis(redis_url))
    await publish(redis_url, 0, 60)
    both = {
        name: start(
            ground.told(RANKGR_TRAINER_STATE=str(tmp_path / name), RANKGR_TRAINER_PORT="0", RANKGR_TRAINER_SEED=seed),
            "serve",
            "trainer",
        )
        for name, seed in (("one", "1"), ("two", "2"))
    }
    number = 60

    async def one_was_overtaken() -> bool:
        nonlocal number
        await publish(redis_url, number, number + 6)
        number += 6
        for trainer in both.values():
            assert trainer.process.poll() is None, trainer.err[-2000:]
        return any("training begins again from that" in trainer.err for trainer in both.values())

    await eventually(one_was_overtaken, WITHIN_S)
    moves = ground.store.moves(Channel.LATEST)
    assert [move.number for move in moves] == list(range(1, len(moves) + 1))
    assert ground.is_whole()
    for trainer in both.values():
        assert trainer.end() == 0
        assert "Traceback" not in trainer.err


async def test_two_processes_under_torchrun_learn_and_publish_together(
    start_python: Start, tmp_path: Path, redis_url: str, eventually: Eventually
) -> None:
    ground = Ground(tmp_path, on_redis(redis_url))
    await publish(redis_url, 0, 60)
    run = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "services.cli")
    told = ground.told(MASTER_ADDR="127.0.0.1", GLOO_SOCKET_IFNAME="lo")
    trainer: Started = start_python(told, *run, "serve", "trainer")

    async def published() -> bool:
        assert trainer.process.poll() is None, trainer.err[-2000:]
        return len(ground.store.moves(Channel.LATEST)) > 1

    await eventually(published, WITHIN_S)
    await publish(redis_url, 60, 90)

    async def all_is_kept() -> bool:
        found = ground.kept()
        return found is not None and found.intake.counts["taken"] == 90

    await eventually(all_is_kept, WITHIN_S)
    trainer.end()
    found = ground.kept()
    assert found is not None
    assert learnt_and_waiting(found) == 90
    assert "training broke" not in trainer.err


async def test_without_anything_to_learn_on_it_says_so_in_one_line(
    start: Start, tmp_path: Path, redis_url: str
) -> None:
    told = {**on_redis(redis_url), "RANKGR_BUNDLE_STORE": str(tmp_path / "empty"), "RANKGR_TRAINER_PORT": "0"}
    trainer: Started = start(told | {"RANKGR_TRAINER_STATE": str(tmp_path / "state")}, "serve", "trainer")
    assert await asyncio.to_thread(trainer.process.wait, WITHIN_S) == 1
    assert trainer.complaints() == [
        "rankgr trainer: the bundle store has no latest to learn on: promote a bundle first"
    ]


SHOPPERS = 8


async def clicks_of(client: httpx.AsyncClient, url: str, request: str, items: list[int]) -> None:
    """Two exposures and a click on the page of this request, now."""
    now_ms = SystemClock().now_ms()
    told = {"user_id": request.split("-")[0], "request_id": request}
    rows = [("exposure", items[0]), ("exposure", items[1]), ("click", items[0])]
    events = [
        told | {"item_id": item, "behavior": behavior, "timestamp": now_ms + place}
        for place, (behavior, item) in enumerate(rows)
    ]
    answer = await client.post(f"{url}/interactions", json={"events": events})
    assert answer.status_code == 202, answer.text


@pytest.mark.alone
async def test_what_shoppers_do_comes_back_as_another_model(
    start: Start, tmp_path: Path, eventually: Eventually, micro_bundle: Path, client: httpx.AsyncClient
) -> None:
    began_ms = SystemClock().now_ms()
    up: Started = start(any_ports() | HASTY, "up", "--learn", "--bundle", micro_bundle, "--state", tmp_path / "state")

    async def serving() -> bool:
        return up.is_up()

    await eventually(serving, WITHIN_S)
    urls = up.urls()
    assert set(urls) == {*PROCESSES, "trainer"}
    shop, items = Shop(client, urls), items_of(micro_bundle)
    assert await shop.is_ready("trainer")
    store = open_bundle_store(str(tmp_path / "state" / "store"))
    [first] = store.bundles()
    for number in range(SHOPPERS):
        request = f"ann{number}-1"
        await shop.trigger(request.split("-")[0], request, items[number : number + 5])
        await clicks_of(client, urls["trigger"], request, items[number + 5 :])

    async def another_model_serves() -> bool:
        assert up.process.poll() is None, up.err[-2000:]
        try:
            answer = await client.get(f"{urls['engine']}/healthz")
        except httpx.TransportError:
            # It is ending: the next look says why, in its own words.
            return False
        return answer.headers["rankgr-model-version"] != first.manifest.model_version

    await eventually(another_model_serves, WITHIN_S)
    newest = now_at(store.moves(Channel.LATEST))
    assert newest is not None
    manifest = store.bundle(newest).manifest
    # The click that was made here is in the weights that serve now.
    assert manifest.newest_interaction_ms is not None
    assert manifest.newest_interaction_ms >= began_ms
    assert manifest.data["learnt_from"] == first.version
    await shop.trigger("bob", "bob-1", items[:5])
    assert await shop.gets_fresh("bob", "bob-1")
    assert (await shop.retrieve("bob"))["model_version"] in {one.manifest.model_version for one in store.bundles()}
    assert up.end() == 0
