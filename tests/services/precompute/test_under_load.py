"""The process's loop with more triggers than places, on each stream: bounded, newest first, nothing lost, drained.

A process that is killed: tests/journeys/test_stream_faults.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from contracts.ids import UserId
from contracts.messages import Topic
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import Delivery, EventConsumer, EventStream
from services.precompute.consumer import GROUP, ConsumeTriggers
from services.precompute.metrics import PrecomputeMetrics
from services.precompute.places import Places
from services.precompute.settings import PrecomputeSettings
from services.runtime.consume import consume
from tests.each_stream import EACH_STREAM, kafka_of, stream_of
from tests.kafka_notes import NotesProxy

from .world import EngineOnHold, World

Eventually = Callable[[Callable[[], Awaitable[bool]], float], Awaitable[None]]
# Nothing here is due again before it is given back, however busy the machine is.
LIMITS = StreamLimits(retry_after_s=60.0, retry_delay_s=0.02)
PLACES, WAITING = 2, 4
WITHIN_S = 30.0


@pytest.fixture(params=EACH_STREAM)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def kafka(kind: str) -> Iterator[NotesProxy | None]:
    """A broker of the test's own, where it is about Kafka."""
    with kafka_of(kind) as proxy:
        yield proxy


@pytest.fixture
async def stream(kind: str, kafka: NotesProxy | None, request: pytest.FixtureRequest) -> AsyncIterator[EventStream]:
    made = stream_of(kind, kafka, request, LIMITS)
    yield made
    await made.close()


class Process:
    """One precompute process on a stream that it shares with others; its engine is on hold."""

    def __init__(
        self,
        stream: EventStream,
        group: str,
        world: World,
        *,
        longest_wait_s: float = 0.3,
        max_attempts: int = 200,
    ) -> None:
        self.max_attempts = max_attempts
        self.attempts: list[int] = []
        self.registry = CollectorRegistry()
        metrics = PrecomputeMetrics(self.registry)
        self.places = Places(PLACES, WAITING, longest_wait_s, metrics.note_waiting)
        self.engine = EngineOnHold(world.engine)
        precompute = replace(world.precompute, engine=self.engine, places=self.places)
        self.effect = ConsumeTriggers(precompute, metrics)
        self.member: EventConsumer = stream.consumer(Topic.TRIGGERS, group, f"member-{id(self)}")
        self.stop = asyncio.Event()
        self.running = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        settings = PrecomputeSettings.model_construct(concurrency=PLACES, waiting=WAITING)
        async with self.places.open_until(self.stop):
            await consume(
                self.member,
                self._effect,
                concurrency=settings.held,
                max_attempts=self.max_attempts,
                stop=self.stop,
                random=Random(0),
            )

    async def _effect(self, delivery: Delivery) -> None:
        self.attempts.append(delivery.attempt)
        await self.effect(delivery)

    def value(self, outcome: str) -> float:
        name = "rankgr_precompute_triggers_total"
        return self.registry.get_sample_value(name, {"outcome": outcome}) or 0.0

    async def ended(self) -> None:
        """As at SIGTERM."""
        self.stop.set()
        self.engine.let_go.set()
        async with asyncio.timeout(WITHIN_S):
            await self.running
        await self.member.close()


async def published(world: World, stream: EventStream, *users: str) -> None:
    """One trigger of each, each a second after the one before."""
    for user in users:
        world.clock.advance(1)
        trigger = world.trigger(f"r-{user}", user=user)
        await stream.publish(Topic.TRIGGERS, user, trigger.model_dump_json().encode())


async def test_the_newest_are_computed_the_oldest_given_up_and_every_delivery_is_settled(
    stream: EventStream, eventually: Eventually
) -> None:
    world = World()
    users = [f"u{number}" for number in range(30)]
    process = Process(stream, GROUP + "-load", world, longest_wait_s=60.0)
    await published(world, stream, *users)

    async def all_but_the_newest_are_given_up() -> bool:
        return process.value("given_up") == 30 - PLACES - WAITING

    await eventually(all_but_the_newest_are_given_up, WITHIN_S)
    assert process.engine.inside == PLACES
    assert process.registry.get_sample_value("rankgr_precompute_waiting") == WAITING
    process.engine.let_go.set()

    async def settled() -> bool:
        return await process.member.lag() == 0

    await eventually(settled, WITHIN_S)
    # Kafka's partitions come in an order of their own: the first two may be any.
    others = [user for user in users if user not in process.engine.asked[:PLACES]]
    assert process.engine.asked[PLACES:] == [UserId(user) for user in reversed(others[-WAITING:])]
    assert process.engine.most_inside == PLACES
    assert process.value("computed") == PLACES + WAITING
    assert await stream.dead_letters(10) == []
    for user in users:
        assert await world.histories.recent(UserId(user)) != [], "what was given up is remembered"
    await process.ended()


async def test_who_waits_too_long_comes_again_and_is_computed_in_the_end(
    stream: EventStream, eventually: Eventually
) -> None:
    world = World()
    users = [f"w{number}" for number in range(PLACES + WAITING)]
    process = Process(stream, GROUP + "-again", world, longest_wait_s=0.05)
    await published(world, stream, *users)

    async def nobody_waits() -> bool:
        return process.engine.inside == PLACES and process.places.waiting == 0

    await eventually(nobody_waits, WITHIN_S)
    process.engine.let_go.set()

    async def all_computed() -> bool:
        return process.value("computed") == len(users) and await process.member.lag() == 0

    await eventually(all_computed, WITHIN_S)
    await process.ended()


async def test_who_never_gets_a_place_is_never_buried_and_expires_by_its_age_while_the_places_are_still_taken(
    stream: EventStream, eventually: Eventually
) -> None:
    world = World()
    process = Process(stream, GROUP + "-vain", world, longest_wait_s=0.02, max_attempts=2)
    await published(world, stream, *(f"v{number}" for number in range(PLACES)))

    async def no_place_is_left() -> bool:
        return process.engine.inside == PLACES

    await eventually(no_place_is_left, WITHIN_S)
    await published(world, stream, "late")

    async def came_in_vain() -> bool:
        return max(process.attempts) > 2 * process.max_attempts

    await eventually(came_in_vain, WITHIN_S)
    world.clock.advance(61)

    async def only_those_at_the_engine_are_left() -> bool:
        return process.value("expired") == 1 and await process.member.lag() == PLACES

    await eventually(only_those_at_the_engine_are_left, WITHIN_S)
    assert await stream.dead_letters(10) == []
    await process.ended()
    assert process.value("computed") == PLACES


async def test_at_the_end_those_that_wait_go_to_another_process_and_what_was_begun_is_finished(
    stream: EventStream, eventually: Eventually
) -> None:
    world = World()
    users = [f"d{number}" for number in range(PLACES + WAITING)]
    ending = Process(stream, GROUP + "-end", world, longest_wait_s=60.0)
    await published(world, stream, *users)

    async def full() -> bool:
        return ending.engine.inside == PLACES and ending.places.waiting == WAITING

    await eventually(full, WITHIN_S)
    await ending.ended()
    assert ending.value("computed") == PLACES
    assert len(ending.engine.asked) == PLACES
    other = Process(stream, GROUP + "-end", world)
    other.engine.let_go.set()

    async def all_computed() -> bool:
        return other.value("computed") == WAITING and await other.member.lag() == 0

    await eventually(all_computed, WITHIN_S)
    await other.ended()
