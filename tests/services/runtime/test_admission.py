"""The admission limit: no more inside than may be, first come first served, refused after a while."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import Overloaded
from services.runtime.admission import Admission


async def test_there_is_room_until_there_is_none() -> None:
    admission = Admission(2, patience_s=60.0)
    await admission.enter()
    assert admission.try_enter()
    assert not admission.try_enter()
    third = asyncio.ensure_future(admission.enter())
    await asyncio.wait([third], timeout=0.01)
    assert (third.done(), admission.inside, admission.waiting) == (False, 2, 1)
    admission.leave()
    await third
    assert (admission.inside, admission.waiting) == (2, 0)


async def test_patience_ends_with_overloaded() -> None:
    admission = Admission(1, patience_s=0.01)
    await admission.enter()
    with pytest.raises(Overloaded):
        await admission.enter()
    assert (admission.refused, admission.waiting) == (1, 0)
    admission.leave()
    assert admission.inside == 0


async def test_whoever_goes_away_while_waiting_holds_up_nobody() -> None:
    admission = Admission(1, patience_s=60.0)
    await admission.enter()
    gone, stays = (asyncio.ensure_future(admission.enter()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    admission.leave()
    await stays
    assert admission.inside == 1


async def test_a_turn_that_comes_with_the_cancellation_is_handed_on() -> None:
    admission = Admission(1, patience_s=60.0)
    await admission.enter()
    one, two = (asyncio.ensure_future(admission.enter()) for _ in range(2))
    await asyncio.sleep(0)
    admission.leave()
    one.cancel()
    await two
    assert one.cancelled()
    assert admission.inside == 1


async def test_who_stands_aside_gives_the_place_away_and_comes_back_without_being_refused() -> None:
    admission = Admission(1, patience_s=60.0)
    await admission.enter()
    second, third = (asyncio.ensure_future(admission.enter()) for _ in range(2))
    await asyncio.sleep(0)
    with admission.aside():
        await second
        assert (admission.inside, admission.waiting) == (1, 1)
    assert admission.inside == 2
    admission.leave()
    await asyncio.sleep(0)
    assert (admission.inside, third.done()) == (1, False), "one too many was inside"
    admission.leave()
    await third
    admission.leave()
    assert (admission.inside, admission.waiting) == (0, 0)


@settings(max_examples=50, deadline=None)
@given(most=st.integers(1, 5), works=st.lists(st.integers(0, 3), max_size=40), patient=st.booleans())
def test_however_many_come_no_more_are_inside_and_all_leave(most: int, works: list[int], patient: bool) -> None:
    asyncio.run(_crowd(Admission(most, patience_s=60.0 if patient else 0.0), works, patient))


async def _crowd(admission: Admission, works: list[int], patient: bool) -> None:
    order: list[int] = []

    async def one(number: int, turns: int) -> bool:
        try:
            await admission.enter()
        except Overloaded:
            return False
        try:
            order.append(number)
            assert admission.inside <= admission.most
            for _ in range(turns):
                await asyncio.sleep(0)
        finally:
            admission.leave()
        return True

    served = await asyncio.gather(*(one(number, turns) for number, turns in enumerate(works)))
    assert admission.inside == 0
    assert served.count(False) == admission.refused
    if patient:
        assert order == sorted(order), "first come, first served"
        assert all(served)
