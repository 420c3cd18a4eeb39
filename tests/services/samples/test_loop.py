"""From three topics to `samples`: nothing is lost, nothing invented, whatever is down, poisoned, silent or too much."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import pytest

from contracts.behaviors import Behavior
from contracts.errors import StoreDown, StreamDown
from contracts.messages import DeadLetter, InteractionRecorded, SessionSampled, Topic
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.join_state.in_memory import MemoryJoinState
from services.gateways.join_state.port import Mark, Step
from services.runtime.clock import ManualClock
from services.samples.incoming import Event, Share, time_of
from tests.model.sessions.happenings import seen
from tests.model.sessions.oracle import expected_samples

from .world import BEGAN_MS, RULES, Published, World, page_views, publish

Eventually = Callable[..., Awaitable[None]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEGAN_MS)


@pytest.fixture
def world(clock: ManualClock) -> World:
    return World(clock)


def interaction(user: str, item: int, at: int, **more: str) -> InteractionRecorded:
    fields = {"event_id": "e", "user_id": user, "item_id": item, "timestamp": at, "behavior": Behavior.CLICK, **more}
    return InteractionRecorded.model_validate(fields)


def assert_as_the_oracle_says(published: Published, events: Sequence[Event]) -> None:
    """Each session once, its revisions without a gap, the first and the last of them the oracle's."""
    first, final = expected_samples(list(events), RULES)
    found = published.by_session()
    assert set(found) == set(final)
    for identity, revisions in found.items():
        assert [one.revision for one in revisions] == list(range(len(revisions)))
        if identity in first:
            assert seen(revisions[0]) == first[identity]
        assert seen(revisions[-1]) == final[identity]


async def until_silent(world: World, clock: ManualClock, sessions: int, eventually: Eventually) -> None:
    """Let wall time go on until so many sessions have been sampled, then as long again as a correction may take."""

    async def all_are_there() -> bool:
        clock.advance(5.0)
        return len((await world.published()).by_session()) >= sessions

    await eventually(all_are_there, within_s=20.0)


async def test_page_views_become_the_oracle_s_samples(world: World, clock: ManualClock, eventually: Eventually) -> None:
    events = page_views(60, users=7, seed=0)
    clock.advance(60.0)
    async with world.running():
        await publish(world.stream, events)
        _first, final = expected_samples(events, RULES)
        await until_silent(world, clock, len(final), eventually)
    published = await world.published()
    assert_as_the_oracle_says(published, events)
    assert published.repeated == 0
    assert {level for one in published.samples.values() for level in one.levels} == {1, 2, 3, 4}
    assert world.metric("rankgr_samples_published_total", kind="first") == len(final)
    assert world.metric("rankgr_samples_published_total", kind="correction") == len(published.samples) - len(final)


async def test_events_twice_and_out_of_order_and_a_process_stopped_again_and_again_change_nothing(
    world: World, clock: ManualClock, eventually: Eventually
) -> None:
    random = Random(1)
    events = page_views(60, users=5, seed=1)
    clock.advance(60.0)
    # Within the lateness, and some of them again.
    coming = sorted(events + random.sample(events, 80), key=lambda one: time_of(one) + random.randrange(900))
    for begin in range(0, len(coming), 60):
        async with world.running():
            await publish(world.stream, coming[begin : begin + 60])
            await asyncio.sleep(random.random() * 0.02)
    _first, final = expected_samples(events, RULES)
    async with world.running():
        await until_silent(world, clock, len(final), eventually)
    assert_as_the_oracle_says(await world.published(), events)


class FlakyState(MemoryJoinState):
    """Fails every other time that it is to keep something, as a full disk does."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    async def keep(self, step: Step, now_ms: int) -> None:
        self.calls += 1
        if self.calls % 2:
            raise StoreDown("the disk is full")
        await super().keep(step, now_ms)


class FlakyStream(MemoryEventStream):
    """Every seventh publication fails: it may have succeeded, or not."""

    calls = 0

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        self.calls += topic == Topic.SAMPLES
        if topic == Topic.SAMPLES and self.calls % 7 == 0:
            if self.calls % 2:
                await super().publish(topic, key, payload)
            raise StreamDown("no answer in time")
        await super().publish(topic, key, payload)


async def test_a_disk_that_is_full_now_and_then_and_a_stream_that_fails_lose_nothing_and_repeat_only_the_same(
    clock: ManualClock, eventually: Eventually
) -> None:
    world = World(clock, state=FlakyState())
    world.stream = FlakyStream(clock)
    events = page_views(60, users=7, seed=2)
    clock.advance(60.0)
    async with world.running():
        await publish(world.stream, events)
        _first, final = expected_samples(events, RULES)
        await until_silent(world, clock, len(final), eventually)
    published = await world.published()
    assert_as_the_oracle_says(published, events)
    assert published.repeated > 0
    assert world.metric("rankgr_samples_outages_total", what="state") > 0
    assert world.metric("rankgr_samples_outages_total", what="stream") > 0


@pytest.mark.parametrize(
    ("key", "payload", "reason"),
    [
        ("u", b"\xff no JSON", "no InteractionRecorded: payload"),
        ("u", b"{}", "no InteractionRecorded: event_id: Field required"),
        ("other", None, "it is another user's"),
        ("u", b"\xff" * 200_000, "(the first 100000 of 200000 bytes)"),
    ],
    ids=["no json", "no event", "another user's", "too long"],
)
async def test_poison_is_a_dead_letter_and_others_go_on(
    world: World, clock: ManualClock, eventually: Eventually, key: str, payload: bytes | None, reason: str
) -> None:
    poison = payload if payload is not None else interaction("u", 1, BEGAN_MS).model_dump_json().encode()
    async with world.running():
        await world.stream.publish(Topic.INTERACTIONS, key, poison)
        await publish(world.stream, [interaction("u", 7, BEGAN_MS)])
        await until_silent(world, clock, 1, eventually)
    [letter] = [DeadLetter.model_validate_json(one) for one in await world.stream.dead_letters(9)]
    assert (letter.topic, letter.group, letter.key) == ("interactions", "samples-0-of-1", key)
    assert letter.reason.startswith("BadMessage: ")
    assert reason in letter.reason
    assert world.metric("rankgr_samples_events_total", topic="interactions", outcome="refused") == 1
    [sample] = (await world.published()).samples.values()
    assert sample.item_ids == (7,)


async def test_a_part_that_the_topic_no_longer_has_holds_up_nobody(
    world: World, clock: ManualClock, eventually: Eventually
) -> None:
    await world.state.begin("share 0-of-1")
    await world.state.keep(Step([], {(Topic.INTERACTIONS, "7"): Mark("12", BEGAN_MS - 9000)}, BEGAN_MS - 10_000, []), 1)
    await world.state.close()
    async with world.running():
        await publish(world.stream, [interaction("u", 7, BEGAN_MS)])
        await until_silent(world, clock, 1, eventually)


class CountingState(MemoryJoinState):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = 0

    async def keep(self, step: Step, now_ms: int) -> None:
        self.kept += 1
        await super().keep(step, now_ms)


async def test_an_hour_without_any_event_ends_what_waits_and_writes_nothing_more(
    clock: ManualClock, eventually: Eventually
) -> None:
    state = CountingState()
    world = World(clock, state=state)
    async with world.running() as topics:
        join = topics.sessions.memory.join
        await publish(world.stream, [interaction("u", 7, BEGAN_MS)])

        async def it_waits() -> bool:
            return join.open_sessions == 1

        await eventually(it_waits)
        await until_silent(world, clock, 1, eventually)
        before = state.kept

        async def an_hour_has_passed() -> bool:
            clock.advance(60.0)
            return join.watermark > BEGAN_MS + 3_600_000

        await eventually(an_hour_has_passed, within_s=20.0)
        assert state.kept <= before + 1
    assert world.metric("rankgr_samples_watermark_age_seconds") >= 0


async def test_the_loop_waits_for_events_instead_of_turning(world: World) -> None:
    async with world.running() as topics:
        turns = 0
        for _ in range(200):
            before = topics.sessions.kept
            await asyncio.sleep(0)
            turns += topics.sessions.kept is not before
        assert turns <= 2


async def test_an_event_of_a_far_future_is_buried_and_a_near_one_moves_nobody_s_time(
    world: World, clock: ManualClock, eventually: Eventually
) -> None:
    async with world.running() as topics:
        far, near = BEGAN_MS + 3_700_000, BEGAN_MS + 3_500_000
        await publish(
            world.stream, [interaction("u", 1, far), interaction("u", 2, near), interaction("u", 3, BEGAN_MS)]
        )

        async def buried() -> bool:
            return len(await world.stream.dead_letters(9)) == 1

        await eventually(buried)
        marks = topics.sessions.memory.watermark.marks()
        assert marks["interactions", "0"] == BEGAN_MS
        await until_silent(world, clock, 2, eventually)
    [letter] = [DeadLetter.model_validate_json(one) for one in await world.stream.dead_letters(9)]
    assert letter.reason == "BadMessage: InteractionRecorded happens 3700 s after its publication"


async def test_a_flood_of_one_user_s_events_is_counted_and_others_go_on(
    clock: ManualClock, eventually: Eventually
) -> None:
    world = World(clock, turn_messages=1000)
    flood = [interaction("bot", number, BEGAN_MS + 1, request_id="r") for number in range(10_000)]
    async with world.running():
        await publish(world.stream, [*flood, interaction("ann", 7, BEGAN_MS, request_id="r")])

        async def all_taken() -> bool:
            return (
                world.metric("rankgr_samples_events_total", topic="interactions", outcome="joined")
                + world.metric("rankgr_samples_events_total", topic="interactions", outcome="flood")
                == 10_001
            )

        await eventually(all_taken, within_s=20.0)
        await until_silent(world, clock, 2, eventually)
    assert world.metric("rankgr_samples_events_total", topic="interactions", outcome="flood") > 5000
    samples = {str(one.user_id): one for one in (await world.published()).samples.values()}
    assert samples["ann"].item_ids == (7,)
    assert len(samples["bot"].item_ids) <= 4 * RULES.session_events


async def test_what_the_stream_dropped_unread_is_counted(clock: ManualClock, eventually: Eventually) -> None:
    world = World(clock)
    world.stream = MemoryEventStream(clock, StreamLimits(keep_at_most=20))
    await publish(world.stream, [interaction("u", number, BEGAN_MS) for number in range(50)])
    async with world.running():

        async def counted() -> bool:
            return world.metric("rankgr_samples_lost_total", topic="interactions") == 30

        await eventually(counted)


async def test_shares_part_the_users_and_together_make_every_sample_once(
    clock: ManualClock, eventually: Eventually
) -> None:
    events = page_views(60, users=9, seed=3)
    clock.advance(60.0)
    together: dict[tuple[str, int], SessionSampled] = {}
    for number in range(3):
        world = World(clock, share=Share(number, 3))
        await publish(world.stream, events)
        own = [event for event in events if world.share.has(event.user_id)]
        _first, final = expected_samples(own, RULES)
        async with world.running():
            await until_silent(world, clock, len(final), eventually)
        published = await world.published()
        assert_as_the_oracle_says(published, own)
        assert not set(together) & set(published.samples)
        together |= published.samples
    assert {identity for identity, _revision in together} == set(expected_samples(events, RULES)[1])
