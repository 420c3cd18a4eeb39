"""Places: never more than there are, the newest that waits goes first, nobody waits for ever, none is ever lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import UserId
from services.precompute.newest_triggers import TriggerAge
from services.precompute.places import Places, Standing

PLACE = Standing.PLACE
LONG_S = 60.0


def age(at: int, event: str = "e") -> TriggerAge:
    return TriggerAge(at, event)


@dataclass
class Asking:
    """Asks for a place, keeps it until told to go on, and remembers what it was told."""

    places: Places
    user: str
    age: TriggerAge
    told: Standing | None = None
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self.task = asyncio.ensure_future(self._run())

    @property
    def works(self) -> bool:
        return self.told is PLACE and not self.task.done()

    @property
    def waits(self) -> bool:
        return self.told is None and not self.task.done()

    async def _run(self) -> None:
        async with self.places.ask(UserId(self.user), self.age) as self.told:
            if self.told is PLACE:
                await self.go_on.wait()


async def settle() -> None:
    """Let everybody get on as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def asked(places: Places, *ages: int) -> list[Asking]:
    """One of each age, each of another user, one after the other."""
    made = []
    for number, at in enumerate(ages):
        made.append(Asking(places, f"u-{number}", age(at)))
        await settle()
    return made


async def ended(*all_of_them: Asking) -> None:
    for one in all_of_them:
        one.go_on.set()
    await asyncio.gather(*(one.task for one in all_of_them), return_exceptions=True)


async def test_a_free_place_is_had_at_once_without_giving_up_control() -> None:
    places = Places(1, 1, LONG_S)
    with pytest.raises(StopIteration):
        places.ask(UserId("u"), age(1)).__aenter__().send(None)


async def test_the_newest_that_waits_goes_first_and_the_event_decides_between_equals() -> None:
    places = Places(1, 10, LONG_S)
    [working] = await asked(places, 9)
    waiting = [
        Asking(places, f"w-{at}{event}", age(at, event)) for at, event in ((2, "a"), (4, "b"), (4, "a"), (1, "z"))
    ]
    await settle()
    order = []
    for _ in waiting:
        working.go_on.set()
        await settle()
        [working] = [one for one in waiting if one.works]
        order.append(working.age)
    assert order == [age(4, "b"), age(4, "a"), age(2, "a"), age(1, "z")]
    await ended(working)


async def test_the_same_trigger_twice_has_a_place_twice_one_after_the_other() -> None:
    places = Places(3, 10, LONG_S)
    first, second = (Asking(places, "twin", age(3)) for _ in range(2))
    await settle()
    assert first.works
    assert second.waits
    await ended(first)
    await settle()
    assert second.works
    await ended(second)


async def test_who_has_a_place_waits_for_it_while_newer_ones_of_others_take_the_free_ones() -> None:
    places = Places(2, 10, LONG_S)
    first, second, other = Asking(places, "a", age(1)), Asking(places, "a", age(2)), Asking(places, "b", age(0))
    await settle()
    assert (first.works, second.waits, other.works) == (True, True, True)
    await ended(other)
    await settle()
    assert second.waits
    await ended(first)
    await settle()
    assert second.works
    await ended(second)


async def test_a_newer_one_of_the_same_user_lets_the_older_one_go_at_once() -> None:
    places = Places(1, 10, LONG_S)
    [working] = await asked(places, 9)
    older, other, newer = Asking(places, "a", age(1)), Asking(places, "b", age(0)), Asking(places, "a", age(3))
    await settle()
    assert (older.told, other.waits, newer.waits) == (Standing.PASSED, True, True)
    late = Asking(places, "a", age(2))
    await settle()
    assert (late.told, newer.waits) == (Standing.PASSED, True)
    await ended(working, other, newer)


async def test_where_too_many_wait_the_oldest_goes_even_if_it_has_just_come() -> None:
    places = Places(1, 2, LONG_S)
    working, old, new, newest, ancient = await asked(places, 9, 1, 2, 3, 0)
    assert (old.told, ancient.told) == (Standing.CROWDED_OUT, Standing.CROWDED_OUT)
    assert new.waits
    assert newest.waits
    await ended(working, new, newest)


async def test_nobody_waits_longer_than_allowed() -> None:
    places = Places(1, 2, 0.01)
    working, waiting = await asked(places, 9, 1)
    async with asyncio.timeout(5):
        await waiting.task
    assert waiting.told is Standing.TOO_LONG
    assert places.waiting == 0
    await ended(working)


async def test_at_the_stop_those_that_wait_are_told_and_those_that_work_are_left_alone() -> None:
    places, stop = Places(1, 2, LONG_S), asyncio.Event()
    async with places.open_until(stop):
        working, waiting = await asked(places, 9, 1)
        stop.set()
        await settle()
        assert waiting.told is Standing.CLOSED
        assert working.works
        [late] = await asked(places, 10)
        assert late.told is Standing.CLOSED
        await ended(working)
        [still_late] = await asked(places, 11)
        assert still_late.told is Standing.CLOSED


async def test_leaving_the_block_closes_too() -> None:
    places = Places(1, 2, LONG_S)
    async with places.open_until(asyncio.Event()):
        working, waiting = await asked(places, 9, 1)
    await settle()
    assert waiting.told is Standing.CLOSED
    await ended(working)


async def test_a_place_that_is_given_to_one_that_is_cancelled_in_that_moment_goes_on_to_the_next() -> None:
    places = Places(1, 2, LONG_S)
    async with places.ask(UserId("u"), age(9)):
        next_one, chosen = await asked(places, 1, 2)
    assert chosen.waits, "told, and not awake yet"
    chosen.task.cancel()
    await settle()
    assert chosen.task.cancelled()
    assert next_one.works
    await ended(next_one)
    assert places.has_one_for(UserId("u"))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 4), st.integers(0, 9)),
        st.tuples(st.sampled_from(["finish", "cancel"]), st.integers(0, 30), st.booleans()),
    ),
    max_size=40,
)


@given(most=st.integers(1, 3), most_waiting=st.integers(1, 4), steps=STEPS, close=st.booleans())
def test_whatever_happens_no_place_is_lost_or_given_twice(
    most: int, most_waiting: int, steps: list[tuple[str, int, int]], close: bool
) -> None:
    asyncio.run(_live_through(most, most_waiting, steps, close))


async def _live_through(most: int, most_waiting: int, steps: list[tuple[str, int, int]], close: bool) -> None:
    seen_waiting = [0]
    places = Places(most, most_waiting, LONG_S, seen_waiting.append)
    everybody: list[Asking] = []
    for what, number, other in steps:
        alive = [one for one in everybody if not one.task.done()]
        if what == "ask":
            everybody.append(Asking(places, f"u-{number}", age(other, f"e-{len(everybody)}")))
            await settle()
        elif alive:
            _do(what, alive[number % len(alive)])
            # Else two things happen in the same moment.
            if other:
                await _settle_and_check(places, everybody)
    await _settle_and_check(places, everybody)
    if close:
        places.close()
        await settle()
        assert not any(one.waits for one in everybody)
    async with asyncio.timeout(5):
        await ended(*everybody)
    assert all(one.told is not None or one.task.cancelled() for one in everybody)
    assert (places.waiting, seen_waiting[-1], len(places._working)) == (0, 0, 0)


def _do(what: str, one: Asking) -> None:
    if what == "cancel":
        one.task.cancel()
    else:
        one.go_on.set()


async def _settle_and_check(places: Places, everybody: list[Asking]) -> None:
    await settle()
    working = [one for one in everybody if one.works]
    waiting = [one for one in everybody if one.waits]
    assert len(working) <= places.most
    assert len(waiting) <= places.most_waiting
    busy = {one.user for one in working}
    assert len(busy) == len(working), "one of each user"
    assert len(working) == places.most or {one.user for one in waiting} <= busy, "nobody else waits while one is free"
    newest = {one.user: one.age for one in sorted(waiting, key=lambda one: one.age)}
    assert [one.age for one in waiting if newest[one.user] != one.age] == [], "one of each user waits, its newest"
