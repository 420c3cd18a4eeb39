"""One stored list per request: coalesced, idempotent, indifferent to order, never back in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import permutations

import pytest

from contracts.behaviors import Behavior
from contracts.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineBusy,
    EngineDown,
    EngineFailed,
    NoPlace,
    NothingToRecommend,
    RankGRError,
    StreamDown,
)
from contracts.ids import ItemId, RequestId, UserId
from contracts.messages import TriggerRequested
from services.gateways.history.port import PastInteraction
from services.gateways.inference.port import EngineAnswer, EngineRequest, InferenceEngine
from services.precompute.newest_triggers import NewestTriggers
from services.precompute.places import Places
from services.precompute.precompute_candidates import (
    AlreadyThere,
    Computed,
    Empty,
    Expired,
    GivenUp,
    Outcome,
    Superseded,
)
from services.precompute.wording import Wordings

from .world import USER, DownLedger, EngineOnHold, World

CLICK = Behavior.CLICK


class SlowEngine:
    """Passes on what it is asked, once it is let go."""

    def __init__(self, behind: InferenceEngine, let_go: asyncio.Event) -> None:
        self.behind = behind
        self.let_go = let_go
        self.entered = asyncio.Event()

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        self.entered.set()
        await self.let_go.wait()
        return await self.behind.recommend(request)

    async def ping(self) -> None:
        await self.behind.ping()

    async def close(self) -> None:
        await self.behind.close()


async def test_a_trigger_becomes_a_stored_list_an_event_and_a_settled_mark() -> None:
    world = World()
    trigger = await world.announced(world.trigger())
    world.engine.meanwhile = lambda: world.clock.advance(0.25)
    outcome = await world.precompute(trigger)
    assert isinstance(outcome, Computed)
    assert outcome.took_ms == 250
    page = await world.store.page(USER, 0, 10)
    assert page is not None
    assert (page.head.request_id, page.head.triggered_at) == ("r-1", trigger.accepted_at)
    assert page.head.generated_at == trigger.accepted_at + 250
    assert (page.head.model_version, page.head.catalog_version) == ("m1", world.catalog.version)
    assert [one.item_id for one in page.items] == [12, 13]
    [event] = await world.told()
    assert (event.event_id, event.request_id, event.item_ids) == (trigger.event_id, "r-1", (12, 13))
    assert await world.is_settled("r-1")


async def test_recent_interactions_enter_the_history_once() -> None:
    world = World()
    trigger = world.trigger(recent=[(11, CLICK), (12, Behavior.PURCHASE)])
    await world.histories.remember(USER, [PastInteraction(ItemId(12), Behavior.PURCHASE, trigger.accepted_at)])
    await world.precompute(trigger)
    assert [(one.item_id, one.behavior) for one in await world.histories.recent(USER)] == [
        (11, "click"),
        (12, "purchase"),
    ]


async def test_the_prompt_holds_the_history_oldest_first_without_weak_or_unknown_items() -> None:
    world = World()
    fmt = world.wordings.now.prompt_of.prompt_format
    recent = [(11, CLICK), (14, Behavior.EXPOSURE), (999, CLICK), (12, Behavior.CART)]
    outcome = await world.precompute(world.trigger(recent=recent))
    assert isinstance(outcome, Computed)
    assert outcome.unknown_items == (999,)
    [asked] = world.engine.asked
    rows = world.catalog.rows_of([11, 12])
    expected = [
        int(code) + offset
        for row in rows
        for code, offset in zip(world.catalog.codes[row], fmt.token_offsets, strict=True)
    ]
    assert asked.tokens[: len(expected)] == tuple(expected)
    assert len(asked.tokens) == len(expected) + fmt.context_length
    assert (asked.deadline_ms, asked.max_items, asked.exclude) == (5_000, 1400, ())


@pytest.mark.parametrize("recent", [[], [(999, CLICK)], [(11, Behavior.EXPOSURE)]], ids=["none", "unknown", "weak"])
async def test_a_user_without_a_known_item_gets_no_list(recent: list[tuple[int, Behavior]]) -> None:
    world = World()
    trigger = await world.announced(world.trigger(recent=recent))
    assert isinstance(await world.precompute(trigger), Empty)
    assert world.engine.asked == []
    assert await world.store.head(USER) is None
    assert await world.is_settled("r-1")


async def test_bought_items_are_excluded_where_the_setting_says_so() -> None:
    world = World(exclude_purchased=True)
    await world.precompute(world.trigger(recent=[(11, CLICK), (12, Behavior.PURCHASE), (13, Behavior.CART)]))
    assert world.engine.asked[0].exclude == (12,)


async def test_a_trigger_that_the_ledger_knows_to_be_outdated_is_not_computed() -> None:
    world = World()
    older = await world.announced(world.trigger("r-1"))
    world.clock.advance(1)
    await world.announced(world.trigger("r-2"))
    assert await world.precompute(older) == Superseded(None)
    assert world.engine.asked == []
    assert await world.is_settled("r-1")
    assert not await world.is_settled("r-2")
    # What the outdated trigger told is remembered all the same.
    assert [one.item_id for one in await world.histories.recent(USER)] == [11]


async def test_a_trigger_outdated_in_this_process_is_not_computed_even_without_the_ledger() -> None:
    world = World(ledger=DownLedger(World().clock))
    older = world.trigger("r-1")
    world.clock.advance(1)
    newer = world.trigger("r-2")
    for trigger in (older, newer):
        world.precompute.newest.note(trigger)
    assert await world.precompute(older) == Superseded(RequestId("r-2"))
    assert isinstance(await world.precompute(newer), Computed)


async def test_a_request_told_twice_without_the_ledger_is_computed_once_and_settled_by_the_last() -> None:
    world = World()
    first = await world.announced(world.trigger("r-1", event="e-1"))
    world.clock.advance(1)
    second = world.trigger("r-1", event="e-2")
    for trigger in (first, second):
        world.precompute.newest.note(trigger)
    assert await world.precompute(first) == Superseded(RequestId("r-1"))
    assert not await world.is_settled("r-1")
    assert isinstance(await world.precompute(second), Computed)
    assert await world.is_settled("r-1")
    assert len(world.engine.asked) == 1


async def test_a_redelivery_computes_nothing_and_tells_the_event_again_under_the_same_id() -> None:
    world = World()
    trigger = world.trigger()
    await world.precompute(trigger)
    world.clock.advance(2)
    assert await world.precompute(trigger) == AlreadyThere()
    assert len(world.engine.asked) == 1
    first, again = await world.told()
    assert first.model_copy(update={"stages_ms": {}}) == again


async def test_two_deliveries_of_one_trigger_side_by_side_are_computed_once() -> None:
    world = World()
    trigger = world.trigger()
    outcomes = await asyncio.gather(world.precompute(trigger), world.precompute(trigger))
    assert {type(outcome) for outcome in outcomes} == {Computed, AlreadyThere}
    assert len(world.engine.asked) == 1


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_whatever_the_order_of_arrival_the_newest_trigger_s_list_stands(order: tuple[int, ...]) -> None:
    world = World()
    triggers: list[TriggerRequested] = []
    for number in range(3):
        triggers.append(world.trigger(f"r-{number}"))
        world.clock.advance(1)
    for place in order:
        await world.precompute(triggers[place])
        await world.precompute(triggers[place])
    head = await world.store.head(USER)
    assert head is not None
    assert head.request_id == "r-2"


async def test_two_requests_of_one_millisecond_are_both_computed() -> None:
    world = World()
    for request in ("r-1", "r-2"):
        assert isinstance(await world.precompute(world.trigger(request)), Computed)


async def test_a_trigger_older_than_its_limit_is_dropped() -> None:
    world = World()
    trigger = await world.announced(world.trigger())
    world.clock.advance(60)
    assert isinstance(await world.precompute(trigger), Computed)
    late = await world.announced(world.trigger("r-2"))
    world.clock.advance(60.001)
    assert await world.precompute(late) == Expired(60_001)
    assert await world.is_settled("r-2")


async def test_the_engine_is_given_no_more_time_than_the_trigger_has_left() -> None:
    world = World()
    trigger = world.trigger()
    world.clock.advance(58)
    await world.precompute(trigger)
    assert world.engine.asked[0].deadline_ms == 2_000


async def test_a_trigger_from_a_clock_ahead_of_ours_gets_the_ordinary_time() -> None:
    world = World()
    early = world.trigger()
    ahead = early.model_copy(update={"accepted_at": early.accepted_at + 10_000})
    assert isinstance(await world.precompute(ahead), Computed)
    assert world.engine.asked[0].deadline_ms == 5_000


@pytest.mark.parametrize(
    ("failure", "becomes"),
    [
        (EngineDown("gone"), EngineDown),
        (EngineBusy(64), EngineBusy),
        (DeadlineExceeded("too slow"), EngineDown),
    ],
)
async def test_an_engine_that_cannot_answer_now_leaves_the_trigger_for_later(
    failure: RankGRError, becomes: type[RankGRError]
) -> None:
    world = World()
    trigger = await world.announced(world.trigger())
    world.engine.failures = [failure]
    with pytest.raises(becomes) as raised:
        await world.precompute(trigger)
    assert raised.value.retriable
    assert not await world.is_settled("r-1")
    assert isinstance(await world.precompute(trigger), Computed)


@pytest.mark.parametrize("failure", [EngineFailed("NaN"), BadRequest("widths")])
async def test_a_request_that_can_never_succeed_wakes_its_waiters(failure: RankGRError) -> None:
    world = World()
    trigger = await world.announced(world.trigger())
    world.engine.failures = [failure]
    with pytest.raises(type(failure)):
        await world.precompute(trigger)
    assert await world.is_settled("r-1")


async def test_where_nothing_is_left_to_recommend_no_list_is_stored_and_waiters_are_woken() -> None:
    world = World()
    trigger = await world.announced(world.trigger())
    world.engine.failures = [NothingToRecommend("everything is excluded")]
    assert await world.precompute(trigger) == Empty(())
    assert await world.store.head(USER) is None
    assert await world.is_settled("r-1")


async def test_an_engine_of_another_catalogue_is_as_good_as_down() -> None:
    world = World()
    world.engine.catalog_version = "another"
    with pytest.raises(EngineDown, match="another"):
        await world.precompute(world.trigger())
    assert await world.store.head(USER) is None


async def test_a_list_that_a_newer_one_overtook_is_not_stored() -> None:
    world = World()
    older = await world.announced(world.trigger("r-1"))
    world.clock.advance(1)
    newer = world.trigger("r-2")
    # Another process, with its own places and its own view of what is newest, on the same store and engine.
    elsewhere = replace(world.precompute, newest=NewestTriggers(), places=Places(16, 64, 5.0))
    slow = asyncio.Event()
    engine = SlowEngine(world.engine, slow)
    overtaken = asyncio.ensure_future(replace(world.precompute, engine=engine)(older))
    await engine.entered.wait()
    assert isinstance(await elsewhere(newer), Computed)
    slow.set()
    assert await overtaken == Superseded(None)
    head = await world.store.head(USER)
    assert head is not None
    assert head.request_id == "r-2"
    assert await world.is_settled("r-1")
    assert [event.request_id for event in await world.told()] == ["r-2"]


async def test_a_stream_that_is_down_after_storing_loses_no_event() -> None:
    world = World()
    working = world.stream

    class Down:
        async def publish(self, topic: str, key: str, payload: bytes) -> None:
            raise StreamDown(f"no stream for {topic} {key} {len(payload)}")

    trigger = await world.announced(world.trigger())
    with pytest.raises(StreamDown):
        await replace(world.precompute, stream=Down())(trigger)
    # Whoever waits for the list has it already.
    assert await world.is_settled("r-1")
    assert await replace(world.precompute, stream=working)(trigger) == AlreadyThere()
    assert len(await world.told()) == 1


async def test_users_do_not_touch_each_other() -> None:
    world = World()
    await asyncio.gather(*(world.precompute(world.trigger(user=f"u{number}")) for number in range(20)))
    for number in range(20):
        assert await world.store.head(UserId(f"u{number}")) is not None


async def test_what_is_left_out_now_goes_with_the_request() -> None:
    world = World()
    now: list[bytes | None] = [None]
    wordings = Wordings(replace(world.wordings.now, item_filter=lambda: now[0]))
    precompute = replace(world.precompute, wordings=wordings)
    await precompute(world.trigger("r-1"))
    now[0] = b"\x0c\x00"
    world.clock.advance(1)
    await precompute(world.trigger("r-2"))
    assert [asked.item_filter for asked in world.engine.asked] == [None, b"\x0c\x00"]
    assert {asked.catalog_version for asked in world.engine.asked} == {world.catalog.version}


class Crowd:
    """A world whose engine is on hold, and triggers on their way, each a second after the one before."""

    def __init__(self, places: Places) -> None:
        self.world = World(places=places)
        self.engine = EngineOnHold(self.world.engine)
        self.precompute = replace(self.world.precompute, engine=self.engine)

    async def come(self, *users: str) -> list[asyncio.Task[Outcome]]:
        """One trigger of each, announced and noted as the consumer does it."""
        on_their_way = []
        for number, user in enumerate(users):
            self.world.clock.advance(1)
            trigger = await self.world.announced(self.world.trigger(f"r-{user}-{number}", user=user))
            self.precompute.newest.note(trigger)
            on_their_way.append(asyncio.ensure_future(self.precompute(trigger)))
            for _ in range(10):
                await asyncio.sleep(0)
        return on_their_way


async def test_with_one_place_the_newest_goes_first_and_everybody_s_history_is_kept() -> None:
    crowd = Crowd(Places(1, 8, 60.0))
    tasks = await crowd.come("first", "a", "b", "c")
    crowd.engine.let_go.set()
    assert all(isinstance(one, Computed) for one in await asyncio.gather(*tasks))
    assert crowd.engine.asked == ["first", "c", "b", "a"]
    assert crowd.engine.most_inside == 1


async def test_a_list_that_had_to_wait_says_for_how_long() -> None:
    crowd = Crowd(Places(1, 8, 60.0))
    tasks = await crowd.come("first", "a")
    crowd.world.clock.advance(2)
    crowd.engine.let_go.set()
    await asyncio.gather(*tasks)
    first, waited = await crowd.world.told()
    assert "waiting" not in first.stages_ms
    assert (waited.stages_ms["stream"], waited.stages_ms["waiting"]) == (0.0, 2000.0)


async def test_a_newer_trigger_settles_the_waiting_one_of_its_user_while_all_places_are_taken() -> None:
    crowd = Crowd(Places(1, 8, 60.0))
    first, older, newer = await crowd.come("other", "u", "u")
    assert await older == Superseded(RequestId("r-u-2"))
    assert await crowd.world.is_settled("r-u-1")
    crowd.engine.let_go.set()
    await asyncio.gather(first, newer)
    assert crowd.engine.asked == ["other", "u"]


async def test_a_newer_trigger_of_who_is_being_computed_waits_for_that_and_then_computes() -> None:
    crowd = Crowd(Places(4, 8, 60.0))
    older, newer, newest = await crowd.come("u", "u", "u")
    assert await newer == Superseded(RequestId("r-u-2"))
    assert crowd.engine.most_inside == 1
    crowd.engine.let_go.set()
    assert isinstance(await older, Computed)
    assert isinstance(await newest, Computed)
    head = await crowd.world.store.head(USER)
    assert head is not None
    assert head.request_id == "r-u-2"


async def test_the_oldest_is_given_up_where_too_many_wait_and_nobody_waits_for_its_list_any_more() -> None:
    crowd = Crowd(Places(1, 2, 60.0))
    tasks = await crowd.come("first", "a", "b", "c")
    assert await tasks[1] == GivenUp(2000)
    assert await crowd.world.is_settled("r-a-1", "a")
    assert await crowd.world.histories.recent(UserId("a")) != []
    crowd.engine.let_go.set()
    await asyncio.gather(*tasks)
    assert crowd.engine.asked == ["first", "c", "b"]


async def test_one_that_waited_too_long_comes_again_and_its_page_may_still_wait_for_it() -> None:
    crowd = Crowd(Places(1, 2, 0.01))
    first, waiting = await crowd.come("first", "a")
    with pytest.raises(NoPlace) as raised:
        await waiting
    assert raised.value.retriable
    assert not await crowd.world.is_settled("r-a-1", "a")
    crowd.engine.let_go.set()
    await first


async def test_one_that_comes_again_while_it_waits_is_computed_once() -> None:
    crowd = Crowd(Places(1, 4, 60.0))
    [first] = await crowd.come("first")
    trigger = await crowd.world.announced(crowd.world.trigger("r-a", user="a"))
    twins = [asyncio.ensure_future(crowd.precompute(trigger)) for _ in range(2)]
    crowd.engine.let_go.set()
    outcomes = await asyncio.gather(*twins)
    assert [type(one) for one in outcomes] == [Computed, AlreadyThere]
    assert crowd.engine.asked == ["first", "a"]
    await first


async def test_one_that_waited_until_it_was_too_old_has_expired() -> None:
    crowd = Crowd(Places(1, 2, 0.01))
    first, waiting = await crowd.come("first", "a")
    crowd.world.clock.advance(61)
    assert isinstance(await waiting, Expired)
    crowd.engine.let_go.set()
    await first


async def test_at_the_end_those_that_wait_come_again_and_what_was_begun_is_finished() -> None:
    places = Places(1, 2, 60.0)
    crowd = Crowd(places)
    begun, waiting = await crowd.come("first", "a")
    places.close()
    with pytest.raises(NoPlace) as raised:
        await waiting
    assert raised.value.retriable
    crowd.engine.let_go.set()
    assert isinstance(await begun, Computed)


async def test_a_failure_gives_its_place_back() -> None:
    crowd = Crowd(Places(1, 2, 60.0))
    crowd.world.engine.failures = [EngineBusy(1)]
    failing, waiting = await crowd.come("first", "a")
    crowd.engine.let_go.set()
    with pytest.raises(EngineBusy):
        await failing
    assert isinstance(await waiting, Computed)
