"""What every event stream promises (its port.py), over memory and the real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from contracts.messages import DeadLetter
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import Delivery, EventConsumer, EventStream
from tests.each_stream import EACH_STREAM, kafka_of, stream_of
from tests.kafka_notes import NotesProxy

# Short enough that a test can wait for a redelivery, which `receive` itself does.
LIMITS = StreamLimits(retry_after_s=0.3, retry_delay_s=0.1)
# A Kafka group needs a moment to notice that a member is gone, and to hand out its partitions.
KAFKA_LIMITS = StreamLimits(retry_after_s=1.0, retry_delay_s=0.1)
WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between the streams within what is promised: how soon "at once" is."""

    limits: StreamLimits
    at_once_s: float


KINDS = {
    "memory": Kind(LIMITS, 0.0),
    "redis": Kind(LIMITS, 0.0),
    "kafka": Kind(KAFKA_LIMITS, WAIT_S),
}


@pytest.fixture(params=EACH_STREAM)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def limits(kind: str) -> StreamLimits:
    return KINDS[kind].limits


@pytest.fixture
def at_once_s(kind: str) -> float:
    return KINDS[kind].at_once_s


@pytest.fixture
def kafka(kind: str) -> Iterator[NotesProxy | None]:
    """A broker of the test's own, where it is about Kafka."""
    with kafka_of(kind) as proxy:
        yield proxy


@pytest.fixture
async def stream(kind: str, kafka: NotesProxy | None, request: pytest.FixtureRequest) -> AsyncIterator[EventStream]:
    made = stream_of(kind, kafka, request, KINDS[kind].limits)
    yield made
    await made.close()


@pytest.fixture
async def consumer(stream: EventStream) -> AsyncIterator[EventConsumer]:
    member = stream.consumer("triggers", "precompute", "a")
    yield member
    await member.close()


async def drain(consumer: EventConsumer, count: int) -> list[Delivery]:
    """Receive until this many came; settles nothing."""
    found: list[Delivery] = []
    while len(found) < count:
        batch = await consumer.receive(count - len(found), WAIT_S)
        assert batch, f"only {len(found)} of {count} came"
        found += batch
    return found


async def test_what_is_published_is_received_as_it_was(stream: EventStream, consumer: EventConsumer) -> None:
    payload = bytes(range(256))
    await stream.publish("triggers", "ü{42}", payload)
    [delivery] = await consumer.receive(10, WAIT_S)
    assert (delivery.topic, delivery.key, delivery.payload, delivery.attempt) == (
        "triggers",
        "ü{42}",
        payload,
        1,
    )


async def test_a_group_that_joins_late_gets_what_was_published_before(stream: EventStream) -> None:
    await stream.publish("triggers", "u", b"early")
    late = stream.consumer("triggers", "late", "a")
    [delivery] = await late.receive(10, WAIT_S)
    assert delivery.payload == b"early"
    await late.close()


async def test_receive_takes_at_most_what_was_asked_and_comes_back_empty_when_nothing_is_there(
    stream: EventStream, consumer: EventConsumer
) -> None:
    assert await consumer.receive(5, 0.0) == []
    assert await consumer.receive(5, 0.02) == []
    for number in range(5):
        await stream.publish("triggers", "u", b"%d" % number)
    assert len(await consumer.receive(2, WAIT_S)) == 2
    assert len(await consumer.receive(9, WAIT_S)) == 3


async def test_an_acknowledged_message_never_comes_again(
    stream: EventStream, consumer: EventConsumer, limits: StreamLimits
) -> None:
    await stream.publish("triggers", "u", b"once")
    [delivery] = await consumer.receive(10, WAIT_S)
    await consumer.ack(delivery)
    await consumer.ack(delivery)
    assert await consumer.receive(10, limits.retry_after_s * 1.5) == []
    assert await consumer.lag() == 0


async def test_two_members_share_the_messages(stream: EventStream, consumer: EventConsumer) -> None:
    other = stream.consumer("triggers", "precompute", "b")
    published: set[bytes] = set()
    got: dict[EventConsumer, set[bytes]] = {consumer: set(), other: set()}
    # Many users, since one user's messages go to one member of a Kafka group; and until both have their share.
    while not all(got.values()) or published != got[consumer] | got[other]:
        assert len(published) < 2000
        if not all(got.values()):
            for number in range(len(published), len(published) + 20):
                await stream.publish("triggers", f"user-{number}", b"%d" % number)
                published.add(b"%d" % number)
        for member, seen in got.items():
            for delivery in await member.receive(5, 0.1):
                seen.add(delivery.payload)
                await member.ack(delivery)
    await other.close()


async def test_two_groups_both_get_every_message(stream: EventStream, consumer: EventConsumer) -> None:
    other = stream.consumer("triggers", "trainer", "a")
    await stream.publish("triggers", "u", b"both")
    assert [one.payload for one in await drain(consumer, 1)] == [b"both"]
    assert [one.payload for one in await drain(other, 1)] == [b"both"]
    await other.close()


async def test_topics_are_apart(stream: EventStream, consumer: EventConsumer) -> None:
    await stream.publish("interactions", "u", b"elsewhere")
    assert await consumer.receive(10, 0.05) == []


async def test_what_a_member_did_not_settle_before_it_died_goes_to_another(stream: EventStream) -> None:
    dead = stream.consumer("triggers", "precompute", "dead")
    for number in range(3):
        await stream.publish("triggers", "u", b"%d" % number)
    held = await drain(dead, 3)
    await dead.ack(held[0])
    alive = stream.consumer("triggers", "precompute", "alive")
    again = await drain(alive, 2)
    assert {one.payload for one in again} == {one.payload for one in held[1:]}
    assert {one.attempt for one in again} == {2}
    for member in (dead, alive):
        await member.close()


async def test_a_member_that_leaves_hands_over_what_it_holds_at_once(stream: EventStream, at_once_s: float) -> None:
    leaver, heir = (stream.consumer("triggers", "precompute", name) for name in ("leaver", "heir"))
    await stream.publish("triggers", "u", b"held")
    await drain(leaver, 1)
    await leaver.close()
    [delivery] = await heir.receive(1, at_once_s)
    assert (delivery.payload, delivery.attempt) == (b"held", 2)
    await heir.close()


async def test_what_was_given_back_comes_again_after_the_delay_with_a_higher_attempt(
    stream: EventStream, consumer: EventConsumer
) -> None:
    await stream.publish("triggers", "u", b"again")
    for attempt in (1, 2, 3):
        [delivery] = await consumer.receive(1, WAIT_S)
        assert delivery.attempt == attempt
        await consumer.retry_later(delivery)
        assert await consumer.receive(1, 0.0) == [], "not before its delay"


async def test_a_buried_message_is_a_dead_letter_with_its_reason_and_never_comes_again(
    stream: EventStream, consumer: EventConsumer, limits: StreamLimits
) -> None:
    await stream.publish("triggers", "u", b"\xff poison")
    [delivery] = await consumer.receive(1, WAIT_S)
    await consumer.bury(delivery, "BadMessage: no JSON")
    assert await consumer.receive(1, limits.retry_after_s * 1.5) == []
    assert await consumer.lag() == 0
    [letter] = [DeadLetter.model_validate_json(one) for one in await stream.dead_letters(10)]
    assert (letter.topic, letter.group, letter.key) == ("triggers", "precompute", "u")
    assert (letter.reason, letter.attempts, letter.payload) == ("BadMessage: no JSON", 1, "\\xff poison")


async def test_dead_letters_are_the_newest_oldest_first(stream: EventStream, consumer: EventConsumer) -> None:
    assert await stream.dead_letters(3) == []
    for number in range(4):
        await stream.publish("triggers", "u", b"%d" % number)
    for delivery in await drain(consumer, 4):
        await consumer.bury(delivery, "no reason")
    letters = [DeadLetter.model_validate_json(one).payload for one in await stream.dead_letters(3)]
    assert letters == ["1", "2", "3"]


async def test_the_newest_of_a_topic_are_seen_without_a_group_and_stay_for_those_who_are_in_one(
    stream: EventStream, consumer: EventConsumer
) -> None:
    assert await stream.newest("triggers", 3) == []
    for number in range(4):
        await stream.publish("triggers", "u", b"%d" % number)
    assert await stream.newest("triggers", 3) == [b"1", b"2", b"3"]
    assert await stream.newest("triggers", 9) == [b"0", b"1", b"2", b"3"]
    assert len(await drain(consumer, 4)) == 4


async def test_lag_counts_what_is_not_acknowledged(stream: EventStream, consumer: EventConsumer) -> None:
    assert await consumer.lag() == 0
    for _ in range(3):
        await stream.publish("triggers", "u", b"x")
    assert await consumer.lag() == 3
    held = await drain(consumer, 2)
    assert await consumer.lag() == 3
    await consumer.ack(held[0])
    assert await consumer.lag() == 2


async def test_a_stream_that_stands_answers_ping(stream: EventStream) -> None:
    await stream.ping()
