"""Triggers as they come off the stream: coalesced, redelivered after a crash, buried when poison."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from contracts.errors import BadMessage, EngineBusy, EngineFailed
from contracts.messages import DeadLetter, Topic, TriggerRequested
from services.gateways.event_stream.port import Delivery
from services.precompute.consumer import GROUP, ConsumeTriggers
from services.precompute.metrics import PrecomputeMetrics
from services.runtime.consume import consume

from .world import USER, World


class Consuming:
    """The process's loop over a world: runs until the topic is settled."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.registry = CollectorRegistry()
        self.effect = ConsumeTriggers(world.precompute, PrecomputeMetrics(self.registry))

    async def publish(self, *triggers: TriggerRequested) -> None:
        for trigger in triggers:
            payload = trigger.model_dump_json().encode()
            await self.world.stream.publish(Topic.TRIGGERS, trigger.user_id, payload)

    async def until_settled(self, most_rounds: int = 2000) -> None:
        consumer = self.world.stream.consumer(Topic.TRIGGERS, GROUP, "one")
        stop = asyncio.Event()
        loop = asyncio.ensure_future(
            consume(consumer, self.effect, concurrency=16, max_attempts=3, stop=stop, random=Random(1))
        )
        for _ in range(most_rounds):
            if await consumer.lag() == 0:
                break
            await asyncio.sleep(0.001)
        stop.set()
        await loop
        assert await consumer.lag() == 0

    def counted(self, outcome: str) -> str:
        return f'rankgr_precompute_triggers_total{{outcome="{outcome}"}}'

    def metrics(self) -> str:
        return generate_latest(self.registry).decode()


async def test_of_one_user_s_triggers_in_one_batch_only_the_newest_is_computed() -> None:
    world = World()
    consuming = Consuming(world)
    triggers = []
    for number in range(6):
        triggers.append(world.trigger(f"r-{number}"))
        world.clock.advance(0.01)
    await consuming.publish(*triggers)
    await consuming.until_settled()
    head = await world.store.head(USER)
    assert head is not None
    assert head.request_id == "r-5"
    assert len(world.engine.asked) == 1
    assert f"{consuming.counted('superseded')} 5.0" in consuming.metrics()
    assert f"{consuming.counted('computed')} 1.0" in consuming.metrics()


async def test_a_trigger_taken_by_a_member_that_died_is_computed_by_the_next_one() -> None:
    world = World()
    consuming = Consuming(world)
    await consuming.publish(world.trigger())
    dying = world.stream.consumer(Topic.TRIGGERS, GROUP, "dying")
    assert len(await dying.receive(1, 0)) == 1
    # Neither settled nor closed: due again only after the stream's own time limit.
    world.clock.advance(15)
    await consuming.until_settled()
    assert await world.store.head(USER) is not None


async def test_poison_is_buried_and_the_stream_moves_on() -> None:
    world = World()
    consuming = Consuming(world)
    await world.stream.publish(Topic.TRIGGERS, USER, b"\xffnot json")
    await world.stream.publish(Topic.TRIGGERS, USER, b'{"version": 1, "user_id": 5}')
    await consuming.publish(world.trigger())
    await consuming.until_settled()
    letters = [DeadLetter.model_validate_json(one) for one in await world.stream.dead_letters(10)]
    assert len(letters) == 2
    assert all(letter.reason.startswith("BadMessage: no trigger: ") for letter in letters)
    assert all((letter.topic, letter.group, letter.attempts) == ("triggers", GROUP, 1) for letter in letters)
    assert await world.store.head(USER) is not None


async def test_a_busy_engine_is_asked_again() -> None:
    world = World()
    consuming = Consuming(world)
    world.engine.failures = [EngineBusy(64), EngineBusy(64)]
    await consuming.publish(world.trigger())
    await consuming.until_settled()
    assert len(world.engine.asked) == 3
    assert await world.store.head(USER) is not None
    assert await world.stream.dead_letters(10) == []


async def test_a_request_that_can_never_succeed_is_buried_at_once() -> None:
    world = World()
    consuming = Consuming(world)
    world.engine.failures = [EngineFailed("scores were not finite")]
    await consuming.publish(world.trigger())
    await consuming.until_settled()
    [letter] = [DeadLetter.model_validate_json(one) for one in await world.stream.dead_letters(10)]
    assert letter.reason == "EngineFailed: scores were not finite"
    assert len(world.engine.asked) == 1


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"version": 2}', b'"\\ud800"'])
async def test_what_is_no_trigger_is_a_bad_message(payload: bytes) -> None:
    effect = Consuming(World()).effect
    with pytest.raises(BadMessage):
        await effect(Delivery(Topic.TRIGGERS, USER, payload, 1, "0"))
