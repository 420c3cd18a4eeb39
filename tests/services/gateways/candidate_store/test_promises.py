"""What every candidate store promises (its port.py), over memory and the real server."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.candidate_set import Candidate, CandidateSet
from contracts.ids import INT64_MAX, INT64_MIN, ItemId, RequestId, UserId
from services.gateways.candidate_store.in_memory import MemoryCandidateStore
from services.gateways.candidate_store.in_redis import RedisCandidateStore
from services.gateways.candidate_store.port import CandidateStore, version_of
from services.runtime.clock import ManualClock

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
MakeStore = Callable[[float, float], CandidateStore]
USER = UserId("42")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Makes stores (ttl_s, previous_ttl_s); `pass_time` lets time pass where it stands still."""

    make: MakeStore
    pass_time: Callable[[float], None]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    made: list[CandidateStore] = []
    clock = ManualClock()
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None

    def make(ttl_s: float, previous_ttl_s: float) -> CandidateStore:
        if url is None:
            made.append(MemoryCandidateStore(clock, ttl_s=ttl_s, previous_ttl_s=previous_ttl_s))
        else:
            made.append(RedisCandidateStore.connect(url, ttl_s=ttl_s, previous_ttl_s=previous_ttl_s))
        return made[-1]

    yield Shelf(make, clock.advance if url is None else lambda _seconds: None)
    for store in made:
        await store.close()


@pytest.fixture
def store(shelf: Shelf) -> CandidateStore:
    return shelf.make(60.0, 60.0)


def some_set(triggered_at: int, items: int = 3, user: UserId = USER) -> CandidateSet:
    """Scores are exact in float32."""
    return CandidateSet(
        user_id=user,
        request_id=RequestId(f"r-{triggered_at}"),
        triggered_at=triggered_at,
        generated_at=triggered_at + 7,
        model_version="m-1",
        catalog_version="c-1",
        items=tuple(Candidate(ItemId(100 + n), -n / 8, (n % 500, n // 500)) for n in range(items)),
    )


async def test_a_user_without_a_list_has_none(store: CandidateStore) -> None:
    assert await store.head(USER) is None
    assert await store.page(USER, 0, 10) is None
    assert await store.page_of(USER, "1-2", 0, 10) is None


async def test_a_list_comes_back_as_it_was_put(store: CandidateStore) -> None:
    put = some_set(1_763_769_600_123, items=1400)
    assert await store.put(put)
    page = await store.page(USER, 0, 1400)
    assert page is not None
    assert page.items == put.items
    head = page.head
    assert head == await store.head(USER)
    assert (head.request_id, head.triggered_at, head.generated_at, head.length) == (
        put.request_id,
        put.triggered_at,
        put.generated_at,
        1400,
    )
    assert (head.model_version, head.catalog_version) == ("m-1", "c-1")


@pytest.mark.parametrize(("offset", "limit"), [(0, 50), (50, 50), (1390, 50), (1400, 5), (9999, 5), (7, 0)])
async def test_a_page_is_that_part_of_the_list(store: CandidateStore, offset: int, limit: int) -> None:
    put = some_set(5, items=1400)
    await store.put(put)
    page = await store.page(USER, offset, limit)
    assert page is not None
    assert page.items == put.items[offset : offset + limit]
    assert (page.offset, page.head.length) == (offset, 1400)


async def test_a_put_replaces_the_whole_set(store: CandidateStore) -> None:
    await store.put(some_set(1, items=9))
    shorter = some_set(2, items=1)
    await store.put(shorter)
    page = await store.page(USER, 0, 100)
    assert page is not None
    assert page.items == shorter.items


async def test_an_older_trigger_never_replaces_a_newer_one(store: CandidateStore) -> None:
    await store.put(some_set(2))
    assert await store.put(some_set(1)) is False
    head = await store.head(USER)
    assert head is not None
    assert head.triggered_at == 2


async def test_the_same_list_again_changes_nothing(store: CandidateStore) -> None:
    await store.put(some_set(1))
    before = some_set(2)
    assert await store.put(before)
    assert await store.put(before)
    first = version_of_put(some_set(1))
    assert await store.page_of(USER, first, 0, 1) is not None, "the previous one is still the first"
    head = await store.head(USER)
    assert head is not None
    assert version_of(head) == version_of_put(before)


def version_of_put(candidates: CandidateSet) -> str:
    return f"{candidates.triggered_at:x}-{candidates.generated_at:x}"


_USERS = count()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(1, 8), min_size=1, max_size=12))
async def test_whatever_the_order_of_puts_the_newest_trigger_stands(
    store: CandidateStore, order: Sequence[int]
) -> None:
    user = UserId(f"u{next(_USERS)}")
    newest = 0
    for triggered_at in order:
        stored = await store.put(some_set(triggered_at, user=user))
        assert stored is (triggered_at >= newest)
        newest = max(newest, triggered_at)
        head = await store.head(user)
        assert head is not None
        assert head.triggered_at == newest


async def test_the_replaced_list_stays_readable_by_its_version_and_is_then_gone(
    shelf: Shelf, eventually: Eventually
) -> None:
    store = shelf.make(60.0, 0.15)
    old, new = some_set(1), some_set(2)
    await store.put(old)
    await store.put(new)
    page = await store.page_of(USER, version_of_put(old), 1, 1)
    assert page is not None
    assert page.items == old.items[1:2]
    newest = await store.page_of(USER, version_of_put(new), 0, 9)
    assert newest is not None
    assert newest.items == new.items

    async def gone() -> bool:
        shelf.pass_time(0.05)
        return await store.page_of(USER, version_of_put(old), 0, 1) is None

    await eventually(gone)
    assert await store.page_of(USER, version_of_put(new), 0, 1) is not None


async def test_the_list_before_the_newest_can_be_read_as_such(store: CandidateStore) -> None:
    assert await store.previous_page(USER, 0, 5) is None
    await store.put(some_set(1))
    assert await store.previous_page(USER, 0, 5) is None
    await store.put(some_set(2))
    page = await store.previous_page(USER, 1, 5)
    assert page is not None
    assert (page.items, page.head.request_id) == (some_set(1).items[1:], "r-1")


async def test_only_one_previous_list_is_kept(store: CandidateStore) -> None:
    for triggered_at in (1, 2, 3):
        await store.put(some_set(triggered_at))
    assert await store.page_of(USER, version_of_put(some_set(1)), 0, 1) is None
    assert await store.page_of(USER, version_of_put(some_set(2)), 0, 1) is not None


async def test_a_list_expires(shelf: Shelf, eventually: Eventually) -> None:
    store = shelf.make(0.15, 60.0)
    await store.put(some_set(1))
    await store.put(some_set(2))

    async def gone() -> bool:
        shelf.pass_time(0.05)
        return await store.head(USER) is None

    await eventually(gone)
    assert await store.page_of(USER, version_of_put(some_set(1)), 0, 1) is None, "nor does the one before outlive it"
    assert await store.put(some_set(1)), "what expired stands in nobody's way"


@pytest.mark.parametrize(
    "name", ["a}b", "{a", "}", "{}", "%7D", "ü/ё 漢\n", "a:previous", "x" * 128, "\U0001f600" * 128]
)
async def test_any_user_id_has_a_list_of_its_own(store: CandidateStore, name: str) -> None:
    await store.put(some_set(9, items=2))
    user = UserId(name)
    assert await store.page(user, 0, 5) is None
    await store.put(some_set(1, items=1, user=user))
    await store.put(some_set(2, items=1, user=user))
    page = await store.page_of(user, version_of_put(some_set(1)), 0, 5)
    assert page is not None
    assert len(page.items) == 1


async def test_an_empty_list_is_a_list(store: CandidateStore) -> None:
    await store.put(some_set(1, items=0))
    page = await store.page(USER, 0, 10)
    assert page is not None
    assert (page.items, page.head.length) == ((), 0)


async def test_lists_of_other_layouts_come_back_too(store: CandidateStore) -> None:
    """Three codes, wide codes, extreme ids, and texts too long for the usual header, one after another."""
    odd = replace(
        some_set(1),
        request_id=RequestId("\U0001f600" * 128),
        model_version="ё" * 64,
        items=(
            Candidate(ItemId(INT64_MIN), 0.5, (1, 2, 70_000)),
            Candidate(ItemId(INT64_MAX), 0.25, (0, 0, 0)),
        ),
    )
    usual = some_set(2, items=30)
    for put in (odd, usual, replace(odd, triggered_at=3)):
        await store.put(put)
        for offset, limit in ((0, 1), (1, 5), (0, 0)):
            page = await store.page(USER, offset, limit)
            assert page is not None
            assert page.items == put.items[offset : offset + limit]
            assert page.head.request_id == put.request_id
            assert page.head.model_version == put.model_version


async def test_scores_are_kept_as_float32(store: CandidateStore) -> None:
    await store.put(replace(some_set(1), items=(Candidate(ItemId(1), -0.1, (1, 2)),)))
    page = await store.page(USER, 0, 1)
    assert page is not None
    assert page.items[0].score == struct.unpack("f", struct.pack("f", -0.1))[0]


async def test_a_store_that_stands_answers_ping(store: CandidateStore) -> None:
    await store.ping()
