"""What every trigger ledger promises (its port.py), over memory and the real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from contracts.ids import EventId, RequestId, UserId
from services.gateways.trigger_ledger.in_memory import MemoryTriggerLedger
from services.gateways.trigger_ledger.in_redis import RedisTriggerLedger
from services.gateways.trigger_ledger.port import Announcement, TriggerLedger
from services.runtime.clock import ManualClock

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
USER = UserId("42")
ONE, TWO = RequestId("r-1"), RequestId("r-2")
LONG_S = 5.0


@dataclass(frozen=True, slots=True)
class Desk:
    """Makes ledgers (ttl_s) of one kind; `pass_time` lets time pass where it stands still."""

    make: Callable[[float], TriggerLedger]
    pass_time: Callable[[float], None]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    made: list[TriggerLedger] = []
    clock = ManualClock()
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None

    def make(ttl_s: float) -> TriggerLedger:
        if url is None:
            made.append(MemoryTriggerLedger(clock, ttl_s=ttl_s))
        else:
            made.append(RedisTriggerLedger.connect(url, ttl_s=ttl_s))
        return made[-1]

    yield Desk(make, clock.advance if url is None else lambda _seconds: None)
    for ledger in made:
        await ledger.close()


@pytest.fixture
def ledger(desk: Desk) -> TriggerLedger:
    return desk.make(60.0)


async def test_the_first_announcement_of_a_request_stands(ledger: TriggerLedger) -> None:
    first = await ledger.announce(USER, ONE, EventId("e-1"), 100)
    assert first == Announcement(EventId("e-1"), 100, published=False)
    assert await ledger.announce(USER, ONE, EventId("e-2"), 200) == first


async def test_of_many_announcements_at_once_all_get_the_same_event(ledger: TriggerLedger) -> None:
    announced = await asyncio.gather(*(ledger.announce(USER, ONE, EventId(f"e-{n}"), n) for n in range(20)))
    assert len(set(announced)) == 1


async def test_once_published_a_later_announcement_says_so(ledger: TriggerLedger) -> None:
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    await ledger.published(USER, ONE)
    assert await ledger.announce(USER, ONE, EventId("e-2"), 200) == Announcement(EventId("e-1"), 100, True)


async def test_the_same_request_id_of_another_user_is_another_request(ledger: TriggerLedger) -> None:
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    other = await ledger.announce(UserId("43"), ONE, EventId("e-2"), 200)
    assert other.event_id == "e-2"


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
async def test_the_newest_trigger_is_the_latest_in_time_whatever_comes_last(
    ledger: TriggerLedger, order: tuple[int, ...]
) -> None:
    assert await ledger.newest(USER) is None
    for accepted_at in order:
        await ledger.announce(USER, RequestId(f"r-{accepted_at}"), EventId("e"), accepted_at)
    for accepted_at in order:
        await ledger.published(USER, RequestId(f"r-{accepted_at}"))
    assert await ledger.newest(USER) == 3


async def test_a_trigger_that_was_never_published_is_not_the_newest(ledger: TriggerLedger) -> None:
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    assert await ledger.newest(USER) is None
    await ledger.published(USER, ONE)
    await ledger.announce(USER, TWO, EventId("e-2"), 200)
    assert await ledger.newest(USER) == 100


async def test_a_publication_counts_with_the_time_of_the_first_announcement(ledger: TriggerLedger) -> None:
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    await ledger.announce(USER, ONE, EventId("e-2"), 300)
    await ledger.published(USER, ONE)
    await ledger.published(USER, ONE)
    assert await ledger.newest(USER) == 100


async def test_who_waits_is_woken_when_the_request_settles(ledger: TriggerLedger) -> None:
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    await ledger.published(USER, ONE)
    began = time.monotonic()
    waiting = [asyncio.ensure_future(ledger.wait_settled(USER, who, LONG_S)) for who in (ONE, ONE, None)]
    await asyncio.wait(waiting, timeout=0.05)
    assert not any(one.done() for one in waiting)
    await ledger.settled(USER, ONE)
    await asyncio.gather(*waiting)
    assert time.monotonic() - began < LONG_S / 2


async def test_a_ledger_in_another_process_is_woken_too(desk: Desk) -> None:
    ledger = desk.make(60.0)
    other = ledger if isinstance(ledger, MemoryTriggerLedger) else desk.make(60.0)
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    waiting = asyncio.ensure_future(ledger.wait_settled(USER, ONE, LONG_S))
    await asyncio.wait([waiting], timeout=0.05)
    await other.settled(USER, ONE)
    async with asyncio.timeout(LONG_S / 2):
        await waiting


async def test_nobody_waits_for_what_is_settled_or_was_never_pending(ledger: TriggerLedger) -> None:
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    await ledger.published(USER, ONE)
    await ledger.settled(USER, ONE)
    async with asyncio.timeout(LONG_S / 2):
        await ledger.wait_settled(USER, ONE, LONG_S)
        await ledger.wait_settled(USER, None, LONG_S)
        await ledger.wait_settled(USER, TWO, LONG_S)
        await ledger.wait_settled(UserId("nobody"), None, LONG_S)


async def test_without_a_request_the_users_newest_is_waited_for(ledger: TriggerLedger) -> None:
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    await ledger.announce(USER, TWO, EventId("e-2"), 200)
    for request in (TWO, ONE):
        await ledger.published(USER, request)
    waiting = asyncio.ensure_future(ledger.wait_settled(USER, None, LONG_S))
    await ledger.settled(USER, ONE)
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    await ledger.settled(USER, TWO)
    async with asyncio.timeout(LONG_S / 2):
        await waiting


async def test_a_wait_ends_at_its_timeout(ledger: TriggerLedger) -> None:
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    began = time.monotonic()
    await ledger.wait_settled(USER, ONE, 0.1)
    assert 0.09 <= time.monotonic() - began < 1.0
    await ledger.wait_settled(USER, ONE, 0.0)


async def test_settling_what_is_not_known_leaves_no_mark(ledger: TriggerLedger) -> None:
    await ledger.settled(USER, ONE)
    await ledger.published(USER, ONE)
    assert await ledger.newest(USER) is None
    assert (await ledger.announce(USER, ONE, EventId("e-1"), 100)).published is False


async def test_marks_are_gone_after_their_time(desk: Desk, eventually: Eventually) -> None:
    ledger = desk.make(0.15)
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    await ledger.published(USER, ONE)

    async def gone() -> bool:
        desk.pass_time(0.05)
        return await ledger.newest(USER) is None

    await eventually(gone)
    assert await ledger.announce(USER, ONE, EventId("e-2"), 50) == Announcement(EventId("e-2"), 50, False)
    await ledger.published(USER, ONE)
    assert await ledger.newest(USER) == 50


async def test_a_ledger_that_stands_answers_ping(ledger: TriggerLedger) -> None:
    await ledger.ping()
