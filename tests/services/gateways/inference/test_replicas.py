"""Several engines as one: who is asked, who is passed over and for how long, and what comes of nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from contracts.errors import (
    BadRequest,
    CatalogMismatch,
    DeadlineExceeded,
    EngineBusy,
    EngineDown,
    EngineFailed,
    RankGRError,
)
from contracts.ids import UserId
from services.gateways.inference.port import EngineAnswer, EngineRequest
from services.gateways.inference.rendezvous import replicas_of
from services.gateways.inference.replicas import ReplicatedInferenceEngine
from services.runtime.clock import ManualClock

USER = UserId("42")
NAMES = ("a", "b", "c")
FIRST, SECOND, THIRD = replicas_of(USER, NAMES)
Eventually = Callable[..., Awaitable[None]]


@dataclass
class Replica:
    """An engine that answers with its own name as the model's version, or fails as it is told to."""

    name: str
    failure: RankGRError | None = None
    reachable: bool = True
    asked: list[EngineRequest] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    silent: bool = False
    let_go: int = 0
    pings: int = 0
    closed: bool = False

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        self.asked.append(request)
        self.meanwhile()
        if self.silent:
            try:
                await asyncio.Event().wait()
            finally:
                self.let_go += 1
        if self.failure is not None:
            raise self.failure
        return EngineAnswer(self.name, "c", ())

    async def ping(self) -> None:
        self.pings += 1
        if not self.reachable:
            raise EngineDown(f"{self.name} is not ready")

    async def close(self) -> None:
        self.closed = True


class World:
    """Three replicas behind one engine."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.replicas = {name: Replica(name) for name in NAMES}
        self.calls: list[tuple[str, str]] = []
        self.engine = ReplicatedInferenceEngine(
            self.replicas, self.clock, lambda name, outcome: self.calls.append((name, outcome)), 0.01, 0.01
        )

    def fail(self, failure: RankGRError, *names: str) -> None:
        for name in names:
            self.replicas[name].failure = failure
            self.replicas[name].reachable = not isinstance(failure, EngineDown)

    async def answered_by(self, user: UserId = USER, deadline_ms: int | None = None) -> str:
        answer = await self.engine.recommend(EngineRequest(user, (1,), deadline_ms=deadline_ms))
        return answer.model_version


@pytest.fixture
def world() -> World:
    return World()


async def test_a_user_keeps_to_one_replica(world: World) -> None:
    users = [UserId(f"user-{number}") for number in range(30)]
    for user in users * 2:
        assert await world.answered_by(user) == replicas_of(user, NAMES)[0]
    assert world.engine.down == frozenset()


@pytest.mark.parametrize("failure", [EngineBusy(9), CatalogMismatch("c1", "c2")])
async def test_one_that_cannot_take_a_request_is_passed_over_for_this_once(world: World, failure: RankGRError) -> None:
    world.fail(failure, FIRST)
    assert await world.answered_by() == SECOND
    world.replicas[FIRST].failure = None
    assert await world.answered_by() == FIRST
    assert world.calls == [(FIRST, type(failure).__name__), (SECOND, "ok"), (FIRST, "ok")]


async def test_one_that_is_down_is_not_asked_until_it_answers_again(world: World, eventually: Eventually) -> None:
    world.fail(EngineDown("refused"), FIRST)
    for _ in range(5):
        assert await world.answered_by() == SECOND
    assert len(world.replicas[FIRST].asked) == 1
    assert world.engine.down == {FIRST}
    world.replicas[FIRST].failure = None
    assert await world.answered_by() == SECOND, "it has not answered a probe yet"
    world.replicas[FIRST].reachable = True

    async def is_back() -> bool:
        return not world.engine.down

    await eventually(is_back)
    assert await world.answered_by() == FIRST
    await world.engine.close()


async def test_one_that_falls_silent_is_left_where_it_is_not_even_ready(world: World) -> None:
    world.replicas[FIRST].silent = True
    world.replicas[FIRST].reachable = False
    assert await world.answered_by() == SECOND
    assert world.replicas[FIRST].let_go == 1
    assert world.engine.down == {FIRST}
    assert await world.answered_by() == SECOND
    assert len(world.replicas[FIRST].asked) == 1
    await world.engine.close()


async def test_one_that_is_slow_but_ready_is_waited_for(world: World, eventually: Eventually) -> None:
    slow = world.replicas[FIRST]
    slow.silent = True
    asking = asyncio.create_task(world.answered_by())

    async def was_looked_after() -> bool:
        return slow.pings > 3

    await eventually(was_looked_after)
    assert not asking.done()
    asking.cancel()
    await asyncio.wait([asking])
    assert slow.let_go == 1, "who is cancelled leaves nothing behind"


async def test_the_last_one_is_waited_for_however_silent(world: World) -> None:
    world.fail(EngineDown("refused"), SECOND, THIRD)
    world.replicas[FIRST].failure = EngineBusy(1)
    with pytest.raises(EngineBusy):
        await world.answered_by()
    world.replicas[FIRST].silent = True
    world.replicas[FIRST].reachable = False
    asking = asyncio.create_task(world.answered_by())
    await asyncio.wait([asking], timeout=0.1)
    assert not asking.done()
    asking.cancel()
    await asyncio.wait([asking])
    await world.engine.close()


async def test_two_that_are_down_leave_the_third(world: World) -> None:
    world.fail(EngineDown("refused"), FIRST, SECOND)
    assert await world.answered_by() == THIRD
    assert await world.answered_by() == THIRD
    assert [len(world.replicas[name].asked) for name in (FIRST, SECOND)] == [1, 1]
    await world.engine.close()


async def test_where_all_are_down_the_memory_of_it_refuses_nobody(world: World) -> None:
    world.fail(EngineDown("refused"), *NAMES)
    with pytest.raises(EngineDown, match="refused"):
        await world.answered_by()
    # Back, but not probed yet.
    world.replicas[SECOND].failure = None
    assert await world.answered_by() == SECOND
    await world.engine.close()


@pytest.mark.parametrize("failure", [EngineFailed("NaN"), BadRequest("beams: 0"), DeadlineExceeded("late")])
async def test_what_concerns_the_request_alone_is_told_at_once(world: World, failure: RankGRError) -> None:
    world.fail(failure, FIRST)
    with pytest.raises(type(failure)):
        await world.answered_by()
    assert world.calls == [(FIRST, type(failure).__name__)]


async def test_all_busy_is_busy_until_the_first_has_room(world: World) -> None:
    world.fail(EngineBusy(9, 7.0), FIRST)
    world.fail(EngineBusy(9, 3.0), SECOND)
    world.fail(EngineDown("refused"), THIRD)
    with pytest.raises(EngineBusy) as caught:
        await world.answered_by()
    assert caught.value.retry_after_s == 3.0
    await world.engine.close()


async def test_of_another_catalogue_and_down_is_down_since_that_may_pass(world: World) -> None:
    world.fail(CatalogMismatch("c1", "c2"), FIRST, SECOND)
    world.fail(EngineDown("refused"), THIRD)
    with pytest.raises(EngineDown):
        await world.answered_by()
    world.fail(CatalogMismatch("c1", "c2"), THIRD)
    world.replicas[THIRD].reachable = True
    with pytest.raises(CatalogMismatch):
        await world.answered_by()
    await world.engine.close()


async def test_the_next_one_has_only_what_is_left_of_the_deadline(world: World) -> None:
    world.fail(EngineBusy(9), FIRST, SECOND)
    world.replicas[FIRST].meanwhile = lambda: world.clock.advance(0.2)
    world.replicas[SECOND].meanwhile = lambda: world.clock.advance(0.8)
    with pytest.raises(DeadlineExceeded, match="within 1000 ms"):
        await world.answered_by(deadline_ms=1000)
    asked = [world.replicas[name].asked for name in (FIRST, SECOND, THIRD)]
    assert [[request.deadline_ms for request in one] for one in asked] == [[1000], [800], []]


async def test_ping_wants_one_that_can_decode(world: World) -> None:
    world.fail(EngineDown("refused"), FIRST, SECOND)
    await world.engine.ping()
    world.fail(EngineDown("refused"), THIRD)
    with pytest.raises(EngineDown, match="none of 3 engines"):
        await world.engine.ping()


async def test_closing_ends_the_asking(world: World) -> None:
    world.fail(EngineDown("refused"), FIRST)
    await world.answered_by()
    await world.engine.close()
    assert all(replica.closed for replica in world.replicas.values())
    pings = world.replicas[FIRST].pings
    for _ in range(5):
        await asyncio.sleep(0)
    assert (world.replicas[FIRST].pings, world.engine.down) == (pings, frozenset())
