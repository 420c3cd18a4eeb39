"""Whoever follows a store swaps to what it points to, once, in turn, and never to what is no good."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contracts.errors import BadBundle, BundleStoreDown, EngineDown, NoSuchBundle, RankGRError
from services.bundles.canary import PromoteCanary, wanted
from services.bundles.first_bundle import FirstBundle
from services.bundles.follow import FollowBundles, Turns
from services.bundles.roll_back import RollBack
from services.bundles.staging import Staging
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import BundleStore, Channel, Move, next_move, now_at
from services.runtime.clock import ManualClock

from ..gateways.bundle_store.published import NOW_MS, directory_of


@dataclass
class World:
    """A store on disk, a follower of it, and what the follower was told to serve."""

    place: Path
    clock: ManualClock = field(default_factory=ManualClock)
    swapped: list[str] = field(default_factory=list)
    errors: list[RankGRError | OSError] = field(default_factory=list)

    @property
    def store(self) -> BundleStore:
        return open_bundle_store(str(self.place / "store"))

    def published(self, word: str) -> str:
        return self.store.publish(directory_of(self.place, word), NOW_MS).version

    def move(self, version: str | None, channel: Channel = Channel.LATEST, hold_s: float | None = None) -> None:
        number = next_move(self.store.moves(channel))
        at_ms = self.clock.now_ms()
        self.clock.advance(0.001)
        self.store.move(channel, Move(number=number, version=version, at_ms=at_ms, hold_s=hold_s))

    def follower(
        self, name: str = "one", channel: Channel = Channel.LATEST, turns: Turns | None = None
    ) -> FollowBundles:
        async def swap(directory: Path) -> None:
            if self.errors:
                raise self.errors.pop(0)
            self.swapped.append((directory / "features" / "words.json").read_text())

        staging = Staging(self.place / "staging" / name)
        return FollowBundles(self.store, channel, staging, swap, self.clock, 1.0, "", turns=turns)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_every_move_is_followed_once_and_little_is_kept(world: World) -> None:
    follower = world.follower()
    await follower.look()
    assert world.swapped == []
    for word in ("tea", "milk"):
        world.move(world.published(word))
        await follower.look()
        await follower.look()
    RollBack(world.store, world.clock, "a test")()
    await follower.look()
    assert world.swapped == ["tea", "milk", "tea"]
    assert len(follower.staging.known()) == 1


async def test_what_is_no_good_is_tried_once_per_move(world: World) -> None:
    tea, milk = world.published("tea"), world.published("milk")
    follower = world.follower()
    world.move(tea)
    await follower.look()
    world.errors = [BadBundle("weights are not finite")]
    world.move(milk)
    for _ in range(3):
        await follower.look()
    assert (world.swapped, follower.served) == (["tea"], tea)
    # Somebody insists: the same version by another move.
    world.move(milk)
    await follower.look()
    assert world.swapped == ["tea", "milk"]


async def test_a_library_that_breaks_on_a_bundle_does_not_end_the_following(world: World) -> None:
    tea, milk = world.published("tea"), world.published("milk")
    world.errors = [RuntimeError("an operator is not there")]  # type: ignore[list-item]
    follower = world.follower()
    world.move(tea)
    await follower.look()
    await follower.look()
    assert world.swapped == []
    world.move(milk)
    await follower.look()
    assert world.swapped == ["milk"]


@pytest.mark.parametrize("error", [EngineDown("vLLM did not start"), OSError(28, "No space left on device")])
async def test_what_may_pass_is_tried_again_after_longer_and_longer_pauses(
    world: World, error: RankGRError | OSError
) -> None:
    world.errors = [error, error]
    world.move(world.published("tea"))
    follower = world.follower()
    await follower.look()
    await follower.look()
    assert len(world.errors) == 1, "not at once"
    world.clock.advance(2.0)
    await follower.look()
    assert (world.errors, world.swapped) == ([], [])
    world.clock.advance(3.9)
    await follower.look()
    assert world.swapped == []
    world.clock.advance(0.1)
    await follower.look()
    assert world.swapped == ["tea"]


async def test_a_disk_without_room_stages_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.move(world.published("tea"))
    follower = world.follower()
    (world.place / "staging").write_text("in the way")
    await follower.look()
    assert world.swapped == []
    assert "bundle not swapped" in caplog.text


async def test_a_store_that_is_down_changes_nothing_and_says_so_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.move(world.published("tea"))
    follower = world.follower()
    await follower.look()
    (world.place / "store").rename(world.place / "away")
    (world.place / "store").write_text("no directory")
    for _ in range(3):
        await follower.look()
    assert caplog.text.count("the old bundle goes on") == 1
    (world.place / "store").unlink()
    (world.place / "away").rename(world.place / "store")
    world.move(world.published("milk"))
    await follower.look()
    assert world.swapped == ["tea", "milk"]


async def test_one_after_the_other_and_the_dead_do_not_hold_up_the_living(world: World) -> None:
    world.move(world.published("tea"))
    follower = world.follower(turns=Turns("one", 30.0))
    other = world.store.take_turn("another", world.clock.now_ms() + 30_000, world.clock.now_ms())
    assert other is not None
    await follower.look()
    assert (world.swapped, len(follower.staging.known())) == ([], 1), "staged, and waiting for its turn"
    world.clock.advance(31)
    await follower.look()
    assert world.swapped == ["tea"]
    assert world.store.take_turn("another", world.clock.now_ms() + 1, world.clock.now_ms()) is not None


async def test_a_canary_goes_first_until_latest_moves(world: World) -> None:
    tea, milk, cake = (world.published(word) for word in ("tea", "milk", "cake"))
    plain, canary = world.follower("plain"), world.follower("canary", Channel.CANARY)
    world.move(tea)
    for one in (plain, canary):
        await one.look()
    world.move(milk, Channel.CANARY)
    for one in (plain, canary):
        await one.look()
    assert (plain.served, canary.served) == (tea, milk)
    world.move(cake)
    for one in (plain, canary):
        await one.look()
    assert (plain.served, canary.served) == (cake, cake)


def test_a_canary_that_nobody_objected_to_becomes_latest_when_its_time_is_over(world: World) -> None:
    tea, milk = world.published("tea"), world.published("milk")
    settle = PromoteCanary(world.store, world.clock, "a test")
    assert settle() is None
    world.move(tea)
    world.move(milk, Channel.CANARY, hold_s=60)
    world.clock.advance(59)
    assert settle() is None
    world.clock.advance(1)
    assert settle() == milk
    assert now_at(world.store.moves(Channel.LATEST)) == milk
    assert settle() is None
    # Taken back in time, it never does.
    world.move(tea, Channel.CANARY, hold_s=1)
    RollBack(world.store, world.clock, "a test").withdraw()
    world.clock.advance(10)
    assert settle() is None
    # Without a time a person decides.
    world.move(tea, Channel.CANARY)
    world.clock.advance(1e6)
    assert settle() is None
    assert wanted(Channel.LATEST, (), ()) is None


def test_a_kill_in_the_middle_of_clearing_up_leaves_no_half_version(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = Staging(world.place / "staging")
    version = world.published("tea")
    staging.fetched(world.store, version)

    def killed(path: Path, **_options: object) -> None:
        """Some of it is gone, and then so are we."""
        next(file for file in sorted(path.rglob("*")) if file.is_file()).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("services.bundles.staging.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            staging.discard(version)
    assert staging.known() == []
    whole = staging.fetched(world.store, version)
    assert {path.name for path in whole.iterdir()} == {path.name for path in (world.place / "tea").iterdir()}


class TestFirst:
    """What a process begins with."""

    def first(self, world: World, directory: Path | None = None) -> FirstBundle[str]:
        def read(place: Path) -> str:
            word = (place / "features" / "words.json").read_text()
            if word == "bad":
                raise BadBundle("a bad bundle")
            return word

        staging = Staging(world.place / "staging" / "one")
        return FirstBundle(world.store, Channel.LATEST, staging, read, directory)

    def test_latest_else_the_one_before_else_what_is_staged_else_the_given_one(self, world: World) -> None:
        with pytest.raises(NoSuchBundle, match="no latest"):
            self.first(world)()
        given = directory_of(world.place / "given", "cake")
        assert self.first(world, given)() == "cake"
        world.move(world.published("tea"))
        assert self.first(world, given)() == "tea"
        world.move(world.published("bad"))
        assert self.first(world, given)() == "tea"
        (world.place / "store").rename(world.place / "away")
        (world.place / "store").write_text("no directory")
        assert self.first(world, given)() == "tea", "from what was staged"
        Staging(world.place / "staging" / "one").serves("nothing")
        assert self.first(world, given)() == "cake"
        with pytest.raises(BundleStoreDown):
            self.first(world)()
