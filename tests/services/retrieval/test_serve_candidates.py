"""Outcomes, waits, pages and fallbacks of the use case, on memory adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from contracts.errors import BadCursor, CursorGone, StoreDown
from contracts.ids import EventId, ItemId, RequestId, UserId
from services.gateways.candidate_store.in_memory import MemoryCandidateStore
from services.gateways.candidate_store.port import CandidateStore, ListPage
from services.gateways.fallback.in_memory import MemoryFallbackLists
from services.gateways.hidden_items.hidden_now import HiddenNow
from services.gateways.hidden_items.in_memory import MemoryHiddenItems
from services.gateways.trigger_ledger.in_memory import MemoryTriggerLedger
from services.retrieval.serve_candidates import Fallback, Fresh, Masking, PageAsked, Reason, ServeCandidates, Stale
from services.runtime.clock import ManualClock

from .lists import DownStore, made_list

USER = UserId("u")
ASKED = PageAsked(USER, limit=4, max_age_s=900)
# Nobody waits this long: what is waited for comes, or there was nothing to wait for.
LONG_S = 60.0


class WaitlessLedger(MemoryTriggerLedger):
    """A ledger on which nobody may wait."""

    async def wait_settled(self, user: UserId, request: RequestId | None, timeout_s: float) -> None:
        raise AssertionError(f"waited for {user} {request} {timeout_s}")


class DownLedger(MemoryTriggerLedger):
    """A ledger whose server is gone."""

    async def wait_settled(self, user: UserId, request: RequestId | None, timeout_s: float) -> None:
        raise StoreDown(f"no ledger for {user} {request} {timeout_s}")


class World:
    """A serving use case and what it stands on."""

    def __init__(self, store: CandidateStore | None = None, ledger: MemoryTriggerLedger | None = None) -> None:
        self.clock = ManualClock()
        self.memory = MemoryCandidateStore(self.clock, ttl_s=3600, previous_ttl_s=60)
        self.ledger = ledger or MemoryTriggerLedger(self.clock)
        self.hidden_items = MemoryHiddenItems()
        self.hidden = HiddenNow(self.hidden_items, self.clock)
        self.fallback = MemoryFallbackLists(range(1, 10), {"home": range(50, 53)})
        self.serve = ServeCandidates(store or self.memory, self.ledger, self.fallback, self.hidden, self.clock)

    async def put(self, request: str = "r-1", items: range = range(100, 110)) -> None:
        now = self.clock.now_ms()
        assert await self.memory.put(made_list(request=request, triggered_at=now, generated_at=now, items=items))


def shown(outcome: Fresh | Stale | Fallback) -> list[int]:
    if isinstance(outcome, Fallback):
        return list(outcome.items)
    return [one.item_id for one in outcome.items]


async def test_a_young_list_is_fresh_where_no_request_is_asked() -> None:
    world = World()
    await world.put()
    world.clock.advance(900)
    outcome = await world.serve(ASKED)
    assert isinstance(outcome, Fresh)
    assert (outcome.age_ms, outcome.head.request_id, shown(outcome)) == (900_000, "r-1", [100, 101, 102, 103])


async def test_a_list_older_than_asked_is_stale() -> None:
    world = World()
    await world.put()
    world.clock.advance(900.001)
    assert isinstance(await world.serve(ASKED), Stale)
    assert isinstance(await world.serve(replace(ASKED, max_age_s=901)), Fresh)
    assert isinstance(await world.serve(replace(ASKED, max_age_s=0)), Stale)


async def test_a_list_of_the_asked_request_does_not_age() -> None:
    world = World()
    await world.put("r-1")
    world.clock.advance(3000)
    assert isinstance(await world.serve(replace(ASKED, request_id=RequestId("r-1"))), Fresh)


async def test_a_list_of_another_request_is_stale_however_young() -> None:
    world = World()
    await world.put("r-1")
    outcome = await world.serve(replace(ASKED, request_id=RequestId("r-2")))
    assert isinstance(outcome, Stale)
    assert outcome.head.request_id == "r-1"


async def test_an_age_is_never_negative_when_clocks_disagree() -> None:
    world = World()
    now = world.clock.now_ms()
    await world.memory.put(made_list(triggered_at=now, generated_at=now + 10_000))
    outcome = await world.serve(ASKED)
    assert isinstance(outcome, Fresh)
    assert outcome.age_ms == 0


@pytest.mark.parametrize(
    ("scene", "items"), [(None, [1, 2, 3, 4]), ("home", [50, 51, 52]), ("unheard of", [1, 2, 3, 4])]
)
async def test_an_unknown_user_gets_the_popular_list_of_the_scene(scene: str | None, items: list[int]) -> None:
    outcome = await World().serve(replace(ASKED, scene=scene))
    assert isinstance(outcome, Fallback)
    assert (shown(outcome), outcome.reason) == (items, Reason.NO_LIST)


async def test_a_list_without_items_is_no_list() -> None:
    world = World()
    await world.put(items=range(0))
    assert isinstance(await world.serve(ASKED), Fallback)


async def test_a_store_that_is_down_means_fallback_without_a_wait() -> None:
    down = DownStore()
    world = World(down, WaitlessLedger(ManualClock()))
    outcome = await world.serve(replace(ASKED, request_id=RequestId("r"), wait_s=LONG_S))
    assert isinstance(outcome, Fallback)
    assert (outcome.reason, len(down.asked)) == (Reason.STORE_DOWN, 1)


async def test_a_hit_never_waits() -> None:
    clock = ManualClock()
    world = World(ledger=WaitlessLedger(clock))
    await world.ledger.announce(USER, RequestId("r-2"), EventId("e"), clock.now_ms())
    await world.put("r-1")
    assert isinstance(await world.serve(replace(ASKED, wait_s=LONG_S)), Fresh)
    assert isinstance(await world.serve(replace(ASKED, request_id=RequestId("r-1"), wait_s=LONG_S)), Fresh)


async def test_nothing_pending_is_not_waited_for() -> None:
    world = World()
    assert isinstance(await world.serve(replace(ASKED, request_id=RequestId("r"), wait_s=LONG_S)), Fallback)
    await world.put("r-1")
    assert isinstance(await world.serve(replace(ASKED, request_id=RequestId("r-2"), wait_s=LONG_S)), Stale)


async def test_a_pending_request_is_waited_for_until_it_is_settled() -> None:
    world = World()
    await world.ledger.announce(USER, RequestId("r-1"), EventId("e"), world.clock.now_ms())
    waiting = asyncio.ensure_future(world.serve(replace(ASKED, request_id=RequestId("r-1"), wait_s=LONG_S)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    await world.put("r-1")
    await world.ledger.settled(USER, RequestId("r-1"))
    assert isinstance(await waiting, Fresh)


async def test_a_wait_that_ends_without_a_list_is_a_fallback() -> None:
    world = World()
    await world.ledger.announce(USER, RequestId("r-1"), EventId("e"), world.clock.now_ms())
    outcome = await world.serve(replace(ASKED, request_id=RequestId("r-1"), wait_s=0.001))
    assert isinstance(outcome, Fallback)


async def test_a_ledger_that_is_down_costs_the_wait_and_nothing_else() -> None:
    world = World(ledger=DownLedger(ManualClock()))
    await world.put("r-1")
    assert isinstance(await world.serve(replace(ASKED, request_id=RequestId("r-2"), wait_s=LONG_S)), Stale)


async def test_pages_follow_one_list_even_when_a_new_one_arrives_in_between() -> None:
    world = World()
    await world.put("r-1", range(100, 110))
    first = await world.serve(ASKED)
    world.clock.advance(1)
    await world.put("r-2", range(200, 210))
    second = await world.serve(replace(ASKED, cursor=first.next_cursor))
    third = await world.serve(replace(ASKED, cursor=second.next_cursor))
    assert [shown(page) for page in (first, second, third)] == [
        [100, 101, 102, 103],
        [104, 105, 106, 107],
        [108, 109],
    ]
    assert third.next_cursor is None
    assert shown(await world.serve(ASKED)) == [200, 201, 202, 203]


async def test_a_cursor_whose_list_is_gone_says_so() -> None:
    world = World()
    await world.put("r-1")
    first = await world.serve(ASKED)
    for request in ("r-2", "r-3"):
        world.clock.advance(1)
        await world.put(request)
    with pytest.raises(CursorGone):
        await world.serve(replace(ASKED, cursor=first.next_cursor))


async def test_another_user_s_cursor_is_refused() -> None:
    world = World()
    await world.put("r-1")
    first = await world.serve(ASKED)
    with pytest.raises(BadCursor):
        await world.serve(replace(ASKED, user_id=UserId("v"), cursor=first.next_cursor))


async def test_excluded_items_leave_and_the_page_is_filled_up() -> None:
    world = World()
    await world.put("r-1", range(100, 110))
    asked = replace(ASKED, exclude=frozenset({ItemId(100), ItemId(102), ItemId(109), ItemId(7)}))
    first = await world.serve(asked)
    second = await world.serve(replace(asked, cursor=first.next_cursor))
    assert (shown(first), shown(second)) == ([101, 103, 104, 105], [106, 107, 108])
    assert second.next_cursor is None


async def test_a_fallback_is_paged_too_and_keeps_its_scene() -> None:
    world = World()
    first = await world.serve(replace(ASKED, limit=2, scene="home", exclude=frozenset({ItemId(50)})))
    assert (shown(first), first.next_cursor) == ([51, 52], None)
    first = await world.serve(replace(ASKED, limit=2, scene="home"))
    second = await world.serve(replace(ASKED, limit=2, cursor=first.next_cursor))
    assert isinstance(second, Fallback)
    assert (shown(first), shown(second), second.next_cursor) == ([50, 51], [52], None)


async def test_a_fallback_s_next_page_goes_on_in_the_fallback_when_a_list_has_come() -> None:
    world = World()
    first = await world.serve(ASKED)
    await world.put("r-1")
    second = await world.serve(replace(ASKED, cursor=first.next_cursor))
    assert shown(first) + shown(second) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_a_fallback_s_next_page_from_a_process_with_other_popular_lists_is_gone() -> None:
    world = World()
    first = await world.serve(ASKED)
    assert isinstance(first, Fallback)
    others = MemoryFallbackLists([1, 2, 3], version="another bundle")
    other = ServeCandidates(world.memory, world.ledger, others, world.hidden, world.clock)
    with pytest.raises(CursorGone, match="popular list"):
        await other(replace(ASKED, cursor=first.next_cursor))


async def test_a_next_page_from_a_store_that_is_down_is_the_popular_list() -> None:
    world = World()
    await world.put("r-1")
    first = await world.serve(ASKED)
    outcome = await World(DownStore()).serve(replace(ASKED, cursor=first.next_cursor))
    assert isinstance(outcome, Fallback)
    assert shown(outcome) == [1, 2, 3, 4]


async def hide(world: World, *items: int) -> None:
    await world.hidden_items.change({ItemId(item): 0 for item in items}, [])
    await world.hidden.look()


async def test_hidden_items_leave_a_list_and_its_pages_are_filled_up() -> None:
    world = World()
    await world.put()
    await hide(world, 100, 102, 103, 1000)
    first = await world.serve(ASKED)
    assert shown(first) == [101, 104, 105, 106]
    await hide(world, 108)
    second = await world.serve(replace(ASKED, cursor=first.next_cursor))
    assert shown(second) == [107, 109]
    assert second.next_cursor is None


async def test_a_page_of_hidden_items_alone_is_no_page() -> None:
    world = World()
    await world.put()
    await hide(world, *range(104, 110))
    first = await world.serve(ASKED)
    assert (shown(first), first.next_cursor) == ([100, 101, 102, 103], None)


async def test_more_hidden_items_than_anyone_expects_are_read_over() -> None:
    world = World()
    await world.put(items=range(100, 300))
    await hide(world, *range(101, 290))
    first = await world.serve(ASKED)
    assert shown(first) == [100, 290, 291, 292]
    second = await world.serve(replace(ASKED, cursor=first.next_cursor, exclude=frozenset({ItemId(293)})))
    assert shown(second) == [294, 295, 296, 297]


async def test_a_list_whose_items_are_all_hidden_is_an_empty_page() -> None:
    world = World()
    await world.put()
    await hide(world, *range(100, 110))
    outcome = await world.serve(ASKED)
    assert isinstance(outcome, Fresh)
    assert (shown(outcome), outcome.next_cursor) == ([], None)


async def test_hidden_items_leave_the_popular_lists_too() -> None:
    world = World(DownStore())
    await hide(world, 1, 3)
    first = await world.serve(ASKED)
    assert shown(first) == [2, 4, 5, 6]
    assert shown(await world.serve(replace(ASKED, cursor=first.next_cursor))) == [7, 8, 9]


async def test_pages_of_one_list_hold_together_while_another_arrives_and_items_are_hidden() -> None:
    world = World()
    await world.put("r-1")
    first = await world.serve(ASKED)
    world.clock.advance(1)
    await world.put("r-2", items=range(500, 510))
    await hide(world, 105)
    second = await world.serve(replace(ASKED, cursor=first.next_cursor))
    assert shown(second) == [104, 106, 107, 108]
    assert isinstance(second, Fresh)
    assert second.head.request_id == "r-1"


class HidingStore(MemoryCandidateStore):
    """A store whose answers take so long that an item is hidden meanwhile."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def page(self, user: UserId, offset: int, limit: int) -> ListPage | None:
        page = await super().page(user, offset, limit)
        if self.meanwhile is not None:
            await self.meanwhile()
        return page


async def test_a_page_from_before_an_item_was_hidden_never_bears_the_stamp_of_after() -> None:
    world = World()
    store = HidingStore(world.clock)
    serve = ServeCandidates(store, world.ledger, world.fallback, world.hidden, world.clock)
    now = world.clock.now_ms()
    await store.put(made_list(triggered_at=now, generated_at=now))

    async def hide() -> None:
        store.meanwhile = None
        await world.hidden_items.change({ItemId(100): 0}, [])
        await world.hidden.look()

    store.meanwhile = hide
    before = await serve(ASKED)
    after = await serve(ASKED)
    assert (shown(before)[0], shown(after)[0]) == (100, 101)
    assert before.stamp != after.stamp


async def test_a_request_gets_its_own_list_although_a_newer_one_has_followed() -> None:
    world = World()
    await world.put("r-1")
    world.clock.advance(1)
    await world.put("r-2", items=range(500, 510))
    outcome = await world.serve(replace(ASKED, request_id=RequestId("r-1")))
    assert isinstance(outcome, Fresh)
    assert outcome.head.request_id == "r-1"
    other = await world.serve(replace(ASKED, request_id=RequestId("r-0")))
    assert isinstance(other, Stale)
    assert other.head.request_id == "r-2"


@pytest.mark.parametrize("wait_s", [0.0, LONG_S])
async def test_masking_says_whether_the_list_was_there_when_it_was_asked_for(wait_s: float) -> None:
    world = World()
    asked = replace(ASKED, request_id=RequestId("r-1"), wait_s=wait_s)
    assert (await world.serve(asked)).masking is Masking.LATE
    await world.put("r-0")
    assert (await world.serve(asked)).masking is Masking.LATE
    world.clock.advance(1)
    await world.put("r-1")
    first = await world.serve(asked)
    assert first.masking is Masking.READY
    assert (await world.serve(ASKED)).masking is None
    assert (await world.serve(replace(asked, cursor=first.next_cursor))).masking is None
    assert (await World(DownStore()).serve(asked)).masking is Masking.LATE


async def test_a_list_that_was_waited_for_was_not_masked() -> None:
    world = World()
    await world.ledger.announce(USER, RequestId("r-1"), EventId("e"), world.clock.now_ms())
    await world.ledger.published(USER, RequestId("r-1"))
    waiting = asyncio.ensure_future(world.serve(replace(ASKED, request_id=RequestId("r-1"), wait_s=LONG_S)))
    await asyncio.sleep(0)
    await world.put("r-1")
    await world.ledger.settled(USER, RequestId("r-1"))
    assert (await waiting).masking is Masking.WAITED
