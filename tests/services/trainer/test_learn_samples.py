"""What the trainer does with samples and with the store, and what it does when either of them fails it."""

from __future__ import annotations

import dataclasses
import logging
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from contracts.errors import BundleStoreDown, PointerMoved
from contracts.messages import SessionSampled
from model.bundle.read import Bundle, read_bundle
from model.training.incremental.config import PopularConfig
from model.training.incremental.orders import LearnTheRest, give
from model.training.incremental.stream_sample import StreamSample
from services.gateways.bundle_store.port import Channel, Move, next_move
from services.runtime.clock import SystemClock
from services.trainer.learn_samples import SampleMessage
from services.trainer.publish_weights import held_out_users
from tests.small_disk import SmallDisk

from .world import BEGAN_MS, CONFIG, RHYTHM, World, made, message, messages

PUBLICATIONS = "rankgr_bundle_publications_total"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def served(world: World, place: Path) -> Bundle:
    """What serves, read whole."""
    place.mkdir(parents=True)
    world.store.fetch(world.serving, place)
    return read_bundle(place)


def sample_of(number: int) -> StreamSample:
    return StreamSample.of(SessionSampled.model_validate_json(message(number, items=(901, 3, 7)).payload))


def lines(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if word in record.getMessage()]


def test_what_was_learnt_is_published_with_the_age_of_its_newest_interaction(world: World, tmp_path: Path) -> None:
    first, trainer = world.serving, world.trainer()
    trainer.learn.learn(messages(0, 60))
    trainer.learn.offer()
    assert world.serving != first
    bundle = served(world, tmp_path / "served")
    newest = trainer.learner.place.newest_learnt_ms
    assert newest is not None
    assert bundle.manifest.newest_interaction_ms == newest
    assert newest >= BEGAN_MS + 50 * 10_000
    state = trainer.learner.network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in bundle.weights.items())
    assert bundle.manifest.data["learnt_samples"] == trainer.learner.place.samples
    assert trainer.metric(PUBLICATIONS, outcome="promoted") == 1
    world.clock.advance(1)
    age = trainer.metric("rankgr_trainer_serving_newest_interaction_age_seconds")
    assert age == pytest.approx((world.clock.now_ms() - newest) / 1000) or age == 0.0
    assert trainer.metric("rankgr_trainer_samples_total", outcome="learnt") == trainer.learner.place.samples
    assert held_out_users(trainer.learner)


def test_the_fallback_lists_are_of_what_was_clicked_lately(world: World, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, popular=PopularConfig(half_life_ms=3_600_000, prior=1.0))
    trainer, before = world.trainer(config=config), served(world, tmp_path / "before").popular
    # Everybody clicks this one first; it is in no list yet.
    trainer.learn.learn([message(number, items=(901, 3, 7)) for number in range(60)])
    trainer.learn.offer()
    after = served(world, tmp_path / "after")
    clicked = [one.items_K[0] for one in map(sample_of, range(60))]
    first = max(set(clicked), key=lambda item: len({n % 40 for n, it in enumerate(clicked) if it == item}))
    assert after.popular.default[0] == after.popular.scenes["home"][0] == first
    assert {name: len(items) for name, items in after.popular.scenes.items()} == {
        name: len(items) for name, items in before.scenes.items()
    }
    assert after.popular != before
    # A restart goes on counting where it was.
    again = world.trainer(config=config)
    assert again.learner.intake.popular.write() == trainer.learner.intake.popular.write()


def test_the_fallback_lists_stay_where_nothing_is_counted(world: World, tmp_path: Path) -> None:
    trainer, before = world.trainer(), served(world, tmp_path / "before").popular
    trainer.learn.learn(messages(0, 30))
    trainer.learn.offer()
    assert served(world, tmp_path / "after").popular == before


def test_an_hour_without_any_event_publishes_nothing(world: World) -> None:
    trainer = world.trainer()
    trainer.learn.learn(messages(0, 20))
    trainer.learn.offer()
    moves = world.store.moves(Channel.LATEST)
    trainer.learn.learn([])
    trainer.learn.offer()
    assert world.store.moves(Channel.LATEST) == moves
    assert trainer.metric("rankgr_trainer_nothing_new_total") == 1


def test_a_message_that_is_no_sample_is_counted_and_passed_over(world: World) -> None:
    trainer = world.trainer()
    trainer.learn.learn([SampleMessage("0", "1", b"{}"), message(1)])
    assert trainer.learn.positions == {"0": "2"}
    assert trainer.metric("rankgr_trainer_samples_total", outcome="unreadable") == 1
    assert trainer.learner.intake.counts["taken"] == 1


def test_refused_weights_are_kept_aside_and_after_some_of_them_the_serving_ones_come_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    # A clock that moves: no golden request takes no time at all.
    strict = dataclasses.replace(world.rules, golden_ms=0.0)
    trainer = world.trainer()
    trainer.learn.publish = dataclasses.replace(trainer.learn.publish, rules=strict, clock=SystemClock())
    first = world.serving
    trainer.learn.learn(messages(0, 20))
    trainer.learn.offer()
    assert world.serving == first
    assert next(refusal.reason for refusal in world.store.refusals()).startswith("golden requests take")
    weights = trainer.learner.network.state_dict()
    assert trainer.learn.lineage.refusals == 1
    assert trainer.metric("rankgr_trainer_refusals_in_row") == 1
    trainer.learn.learn(messages(20, 40))
    trainer.learn.offer()
    assert trainer.metric("rankgr_trainer_begun_anew_total", reason="refused") == 1
    assert trainer.metric(PUBLICATIONS, outcome="refused") == 2
    serving = read_bundle(trainer.learn.publish.base(trainer.learn.lineage)).weights
    weights = trainer.learner.network.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in serving.items())
    assert trainer.learner.place.steps_since_anew == 0
    assert lines(caplog, "goes back to the serving weights")


def test_somebody_else_s_model_is_what_training_goes_on_from(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = world.trainer()
    trainer.learn.learn(messages(0, 20))
    theirs = world.promote(made(tmp_path / "theirs", seed=4))
    trainer.learn.offer()
    # Nothing was learnt on theirs yet: nothing is published over it.
    assert world.serving == theirs
    assert trainer.learn.lineage.base == theirs
    weights = trainer.learner.network.state_dict()
    for name, tensor in read_bundle(tmp_path / "theirs").weights.items():
        assert torch.equal(tensor, weights[name])
    assert lines(caplog, "training begins again from that")
    trainer.learn.learn(messages(20, 40))
    trainer.learn.offer()
    assert world.serving != theirs


def canary(world: World, version: str | None, hold_s: float | None = None) -> None:
    number = next_move(world.store.moves(Channel.CANARY))
    at_ms = world.clock.now_ms()
    world.store.move(Channel.CANARY, Move(number=number, version=version, at_ms=at_ms, hold_s=hold_s))


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_canary_that_is_watched_is_not_ended_by_a_publication(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, withdrawn: bool
) -> None:
    caplog.set_level(logging.INFO)
    first, trainer = world.serving, world.trainer()
    theirs = world.store.publish(made(tmp_path / "theirs", seed=4), 0).version
    canary(world, theirs, hold_s=100)
    trainer.learn.learn(messages(0, 20))
    for _ in range(3):
        trainer.learn.offer()
        assert world.serving == first
        assert not trainer.learn.is_due(world.clock.monotonic_s())
        world.clock.advance(RHYTHM.look_every_s)
    assert len(lines(caplog, "a canary is watched")) == 1
    if withdrawn:
        canary(world, None)
    else:
        world.clock.advance(100)
    trainer.learn.offer()
    assert world.serving != first
    assert trainer.metric(PUBLICATIONS, outcome="promoted") == 1


def test_a_canary_without_an_end_holds_nobody_up(world: World, tmp_path: Path) -> None:
    first, trainer = world.serving, world.trainer()
    canary(world, world.store.publish(made(tmp_path / "theirs", seed=4), 0).version)
    trainer.learn.learn(messages(0, 20))
    trainer.learn.offer()
    assert world.serving != first


def test_a_rollback_is_followed(world: World) -> None:
    first, trainer = world.serving, world.trainer()
    trainer.learn.learn(messages(0, 20))
    trainer.learn.offer()
    world.point_to(first)
    trainer.learn.learn(messages(20, 30))
    trainer.learn.look()
    assert trainer.learn.lineage.base == first
    assert trainer.metric("rankgr_trainer_begun_anew_total", reason="overtaken") == 1


def test_a_newer_catalogue_is_taken_over_and_the_weights_stay(world: World, tmp_path: Path) -> None:
    trainer = world.trainer()
    trainer.learn.learn(messages(0, 20))
    before = {name: tensor.clone() for name, tensor in trainer.learner.network.state_dict().items()}
    grown = made(tmp_path / "grown", items=2)
    world.promote(grown)
    trainer.learn.look()
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.learner.network.state_dict().items())
    catalog = read_bundle(grown).catalog
    assert trainer.learner.catalog.version == catalog.version
    trainer.learn.offer()
    bundle = served(world, tmp_path / "served")
    assert bundle.catalog.version == catalog.version
    assert bundle.manifest.model_version != read_bundle(grown).manifest.model_version
    assert trainer.metric("rankgr_trainer_catalogues_total") == 1
    # The age of what the weights have seen is theirs, not the catalogue's.
    assert bundle.manifest.newest_interaction_ms == trainer.learner.place.newest_learnt_ms


def test_a_catalogue_that_comes_after_ours_was_written_is_not_undone(world: World, tmp_path: Path) -> None:
    trainer = world.trainer()
    trainer.learn.learn(messages(0, 20))
    trainer.learn.lineage = trainer.learn.publish.write(trainer.learner, trainer.learn.lineage)
    grown = made(tmp_path / "grown", items=1)
    theirs = world.promote(grown)
    with pytest.raises(PointerMoved, match="another bundle serves"):
        trainer.learn.publish.promote(trainer.learner, trainer.learn.lineage)
    assert world.serving == theirs
    assert trainer.metric(PUBLICATIONS, outcome="overtaken") == 1
    trainer.learn.offer()
    bundle = served(world, tmp_path / "served")
    assert bundle.catalog.version == read_bundle(grown).catalog.version
    assert bundle.manifest.newest_interaction_ms == trainer.learner.place.newest_learnt_ms


def test_of_two_trainers_one_wins_and_the_other_says_so(world: World, caplog: pytest.LogCaptureFixture) -> None:
    one = world.trainer("one")
    two = world.trainer("two", dataclasses.replace(CONFIG, seed=9))
    for trainer in (one, two):
        trainer.learn.learn(messages(0, 20))
    # Both have looked, and judge at the same time; the other one is the faster.
    one.learn.lineage = one.learn.publish.write(one.learner, one.learn.lineage)
    judged = one.learn.publish.store.moves(Channel.LATEST)
    two.learn.offer()
    winner = world.serving
    assert world.store.moves(Channel.LATEST) != judged

    class Slow:
        """The store as it was when `one` looked."""

        def __getattr__(self, name: str) -> object:
            return getattr(world.store, name)

        def moves(self, channel: Channel) -> object:
            return judged if channel is Channel.LATEST else world.store.moves(channel)

    plain = one.learn.publish
    one.learn.publish = dataclasses.replace(plain, store=Slow())  # type: ignore[arg-type]
    one.learn.offer()
    one.learn.publish = plain
    assert one.metric(PUBLICATIONS, outcome="overtaken") == 1
    assert lines(caplog, "another bundle was promoted while ours was judged")
    assert world.serving == winner
    one.learn.look()
    assert one.learn.lineage.base == winner


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond this: what a full disk says, with another errno."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_costs_a_line_and_training_goes_on(world: World, caplog: pytest.LogCaptureFixture) -> None:
    first, trainer = world.serving, world.trainer()
    trainer.learn.learn(messages(0, 20))
    with full_disk():
        trainer.learn.offer()
    assert world.serving == first
    assert len(lines(caplog, "not published, tried again in")) == 1
    assert trainer.metric("rankgr_trainer_failures_total", what="checkpoint") >= 1
    steps = trainer.learner.place.steps
    trainer.learn.learn(messages(20, 40))
    assert trainer.learner.place.steps > steps
    assert not trainer.learn.is_due(world.clock.monotonic_s())
    world.clock.advance(5)
    assert trainer.learn.is_due(world.clock.monotonic_s())
    trainer.learn.offer()
    assert world.serving != first


def test_a_disk_that_is_really_full_costs_a_line_and_what_was_learnt_is_published_later(
    small_disk: SmallDisk, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    world = World(small_disk.place)
    first, trainer = world.serving, world.trainer()
    trainer.learn.learn(messages(0, 20))
    assert trainer.learn.keep()
    small_disk.fill()
    trainer.learn.learn(messages(20, 40))
    assert not trainer.learn.keep()
    trainer.learn.offer()
    assert world.serving == first
    assert len(lines(caplog, "not published, tried again in")) == 1
    assert all("No space left on device" in line for line in lines(caplog, "no checkpoint was written"))
    assert lines(caplog, "no checkpoint was written")
    # A trainer that is started now goes on from the checkpoint before, and learns again what came after.
    again = world.trainer()
    assert again.learner.intake.counts["taken"] == 20
    small_disk.make_room()
    world.clock.advance(5)
    trainer.learn.offer()
    assert world.serving != first
    assert served(world, tmp_path / "served").manifest.data["learnt_samples"] == trainer.learner.place.samples
    assert {one.version for one in world.store.bundles()} == {first, world.serving}


def test_a_store_that_is_down_costs_a_line_and_training_goes_on(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = world.trainer()
    trainer.learn.learn(messages(0, 20))
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").write_text("no directory")
    with pytest.raises(BundleStoreDown):
        world.store.moves(Channel.LATEST)
    for _ in range(3):
        trainer.learn.look()
    assert len(lines(caplog, "without knowing what serves")) == 1
    trainer.learn.offer()
    assert len(lines(caplog, "not published, tried again in")) == 1
    trainer.learn.learn(messages(20, 40))
    (tmp_path / "store").unlink()
    (tmp_path / "away").rename(tmp_path / "store")
    world.clock.advance(10)
    trainer.learn.offer()
    assert trainer.metric(PUBLICATIONS, outcome="promoted") == 1


class Ready:
    """Portions that are there already."""

    def __init__(self, *portions: list[SampleMessage]) -> None:
        self.portions = list(portions)
        self.told: list[dict[str, str]] = []

    @property
    def ended(self) -> bool:
        return not self.portions

    def take(self, wait_s: float) -> list[SampleMessage]:  # noqa: ARG002
        return self.portions.pop(0)

    def kept(self, positions: dict[str, str]) -> None:
        self.told.append(positions)


def test_a_restart_goes_on_where_it_was_kept(world: World) -> None:
    portions = Ready(messages(0, 33), messages(33, 41))
    one = world.trainer()
    one.learn(portions)
    assert portions.told == [{"0": "41"}]
    again = world.trainer()
    assert again.learn.positions == {"0": "41"}
    assert again.learner.place == one.learner.place
    ours, theirs = again.learner.network.state_dict(), one.learner.network.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_kill_in_the_middle_of_a_publication_leaves_the_same_weights(world: World) -> None:
    whole = world.trainer("whole")
    whole.learn.learn(messages(0, 23))
    whole.learn.learner.place.partial = True
    whole.learn.keep()
    # Killed here: it had said that it would learn from the rest, and may have done it.
    again = world.trainer("whole")
    again.learn(Ready())
    give(whole.learner, LearnTheRest())
    ours, theirs = again.learner.network.state_dict(), whole.learner.network.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert not again.learner.place.partial


def test_who_was_killed_after_a_promotion_knows_its_own_weights_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one = world.trainer()
    one.learn.learn(messages(0, 20))
    one.learn.lineage = one.learn.publish.write(one.learner, one.learn.lineage)
    one.learn.keep()
    one.learn.publish.promote(one.learner, one.learn.lineage)
    again = world.trainer()
    assert again.learn.lineage.base != world.serving
    again.learn.look()
    assert again.learn.lineage.base == world.serving
    assert not lines(caplog, "training begins again")
    assert again.learner.place.steps_since_anew == one.learner.place.steps_since_anew > 0
