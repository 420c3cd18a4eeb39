"""The use case behind `rankgr dead-letters replay`: dead letters go back to the topics they came from, each once.

It reads them as a consumer group of its own, so what was replayed is not replayed again.  A letter that names no topic
of ours, or is none, stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from contracts.messages import DeadLetter, Topic
from services.gateways.event_stream.dead_letter import original_payload
from services.gateways.event_stream.port import Delivery, EventStream

GROUP = "replay"
TOPICS = frozenset({Topic.TRIGGERS, Topic.INTERACTIONS, Topic.CANDIDATES, Topic.SAMPLES})
AT_ONCE = 100
# A group of Kafka needs some seconds to hand out its partitions.
SILENCE_S = 15.0
WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many went back, and how many were passed over: of another topic than asked for, or no letters at all."""

    replayed: int
    passed_over: int


async def replay(stream: EventStream, member: str, most: int, topic: str | None = None) -> Replayed:
    """At most `most` dead letters, oldest first; `topic`: those that came from there.  Raises StreamDown."""
    consumer = stream.consumer(Topic.DEAD_LETTERS, GROUP, member)
    done = passed = 0
    try:
        left = await consumer.lag()
        silence_s = 0.0
        while left > 0 and done < most and silence_s < SILENCE_S:
            deliveries = await consumer.receive(min(AT_ONCE, most - done), WAIT_S)
            silence_s = 0.0 if deliveries else silence_s + WAIT_S
            for delivery in deliveries:
                left -= 1
                letter = _letter_in(delivery, topic)
                if letter is None:
                    # Neither settled nor given back: it is there again for the next replay.
                    passed += 1
                    continue
                await stream.publish(letter.topic, letter.key, original_payload(letter))
                await consumer.ack(delivery)
                done += 1
    finally:
        await consumer.close()
    return Replayed(done, passed)


def _letter_in(delivery: Delivery, topic: str | None) -> DeadLetter | None:
    try:
        letter = DeadLetter.model_validate_json(delivery.payload)
    except ValidationError:
        return None
    wanted = TOPICS if topic is None else {topic}
    return letter if letter.topic in wanted else None
