"""What every history store promises (its port.py), over memory and the real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.behaviors import Behavior
from contracts.ids import INT64_MAX, INT64_MIN, ItemId, UserId
from services.gateways.history.in_memory import MemoryHistoryStore
from services.gateways.history.in_redis import RedisHistoryStore
from services.gateways.history.port import HistoryStore, PastInteraction
from services.runtime.clock import ManualClock

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
USER = UserId("42")
KEEP, DROP_BLOCK = 6, 4
LATEST = 2**53 - 1

_USERS = count()


@dataclass(frozen=True, slots=True)
class Shelf:
    """Makes stores (keep, drop_block, ttl_s); `pass_time` lets time pass where it stands still."""

    make: Callable[[int, int, float], HistoryStore]
    pass_time: Callable[[float], None]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    made: list[HistoryStore] = []
    clock = ManualClock()
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None

    def make(keep: int, drop_block: int, ttl_s: float) -> HistoryStore:
        if url is None:
            made.append(MemoryHistoryStore(clock, keep=keep, drop_block=drop_block, ttl_s=ttl_s))
        else:
            made.append(RedisHistoryStore.connect(url, keep=keep, drop_block=drop_block, ttl_s=ttl_s))
        return made[-1]

    yield Shelf(make, clock.advance if url is None else lambda _seconds: None)
    for store in made:
        await store.close()


@pytest.fixture
def store(shelf: Shelf) -> HistoryStore:
    return shelf.make(KEEP, DROP_BLOCK, 60.0)


def click(item: int, timestamp: int, behavior: Behavior = Behavior.CLICK) -> PastInteraction:
    return PastInteraction(ItemId(item), behavior, timestamp)


def in_order(interactions: Sequence[PastInteraction]) -> list[PastInteraction]:
    """The oracle: distinct, by time, then item id, then behaviour."""
    return sorted(set(interactions), key=lambda one: (one.timestamp, one.item_id, one.behavior.value))


interactions_strategy = st.lists(
    st.builds(
        PastInteraction,
        item_id=st.sampled_from([INT64_MIN, -2, -1, 0, 1, 255, 256, INT64_MAX]).map(ItemId),
        behavior=st.sampled_from(list(Behavior)),
        timestamp=st.sampled_from([0, 1, 2, 255, 256, 1_763_769_600_000, LATEST - 1, LATEST]),
    ),
    max_size=30,
)


async def test_an_unknown_user_did_nothing(store: HistoryStore) -> None:
    assert await store.recent(USER) == []


async def test_remembering_nothing_changes_nothing(store: HistoryStore) -> None:
    await store.remember(USER, [])
    assert await store.recent(USER) == []


async def test_users_are_apart(store: HistoryStore) -> None:
    await store.remember(USER, [click(1, 1)])
    assert await store.recent(UserId("{42}")) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(interactions=interactions_strategy, cuts=st.lists(st.integers(0, 30), max_size=4))
async def test_histories_are_sorted_and_without_duplicates_however_they_arrive(
    shelf: Shelf, interactions: list[PastInteraction], cuts: list[int]
) -> None:
    store, user = shelf.make(1000, 128, 60.0), UserId(f"u{next(_USERS)}")
    edges = [0, *sorted(cuts), len(interactions)]
    for first, last in pairwise(edges):
        await store.remember(user, interactions[first:last])
    assert await store.recent(user) == in_order(interactions)
    await store.remember(user, interactions)
    assert await store.recent(user) == in_order(interactions), "the same again changes nothing"
    await store.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.permutations(range(25)), batch=st.integers(1, 7))
async def test_the_newest_are_kept_whatever_the_order_of_arrival(
    store: HistoryStore, times: list[int], batch: int
) -> None:
    user = UserId(f"v{next(_USERS)}")
    seen: list[PastInteraction] = []
    for first in range(0, len(times), batch):
        seen += [click(time % 3, time) for time in times[first : first + batch]]
        await store.remember(user, seen[first:])
        kept = await store.recent(user)
        assert kept[-KEEP:] == in_order(seen)[-KEEP:]
        assert len(kept) < KEEP + DROP_BLOCK
        assert kept == in_order(kept)


async def test_the_front_moves_in_whole_blocks_only(store: HistoryStore) -> None:
    fronts = []
    for time in range(30):
        await store.remember(USER, [click(1, time)])
        fronts.append((await store.recent(USER))[0].timestamp)
    assert sorted(set(fronts)) == list(range(0, 30 - KEEP + 1, DROP_BLOCK))


async def test_what_was_dropped_does_not_come_back_when_it_is_delivered_again(store: HistoryStore) -> None:
    for time in range(KEEP + DROP_BLOCK):
        await store.remember(USER, [click(1, time)])
    kept = await store.recent(USER)
    assert [one.timestamp for one in kept] == list(range(DROP_BLOCK, DROP_BLOCK + KEEP))
    await store.remember(USER, [click(1, 0), click(1, DROP_BLOCK - 1)])
    assert await store.recent(USER) == kept


async def test_a_whole_history_may_arrive_at_once(store: HistoryStore) -> None:
    await store.remember(USER, [click(item, 7) for item in range(2000)])
    kept = await store.recent(USER)
    assert kept[-KEEP:] == [click(item, 7) for item in range(2000 - KEEP, 2000)]


async def test_a_history_expires_when_nothing_is_added_for_long(shelf: Shelf, eventually: Eventually) -> None:
    store = shelf.make(KEEP, DROP_BLOCK, 0.15)
    await store.remember(USER, [click(1, 1)])

    async def gone() -> bool:
        shelf.pass_time(0.05)
        return await store.recent(USER) == []

    await eventually(gone)


async def test_a_store_that_stands_answers_ping(store: HistoryStore) -> None:
    await store.ping()
