"""Topics on a Kafka cluster: made once, by a command, with a number of partitions that somebody has thought about.

A user's events are in one partition, and a partition is read by one process of a group at a time: there can be no more
precompute processes at work than `triggers` has partitions.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import NewTopic

from contracts.messages import Topic
from services.gateways.event_stream.kafka.failing import failing_as_stream_down
from services.gateways.event_stream.kafka.place import KafkaPlace

HOUR_MS = 3_600_000
# Nobody waits for a trigger of an hour ago; interactions are what histories are rebuilt from.
RETENTION_MS = {
    Topic.TRIGGERS: 6 * HOUR_MS,
    Topic.INTERACTIONS: 7 * 24 * HOUR_MS,
    Topic.CANDIDATES: 24 * HOUR_MS,
    Topic.SAMPLES: 7 * 24 * HOUR_MS,
    Topic.DEAD_LETTERS: 30 * 24 * HOUR_MS,
}
BROKERS_CHOICE = -1
"""Replication as the cluster has it by default."""

_WITHIN_MS = 10_000


@dataclass(frozen=True, slots=True)
class TopicMade:
    """A topic as it is now; `made`: this call made it."""

    name: str
    partitions: int
    made: bool


def create_topics(place: KafkaPlace, partitions: int, replication: int = BROKERS_CHOICE) -> list[TopicMade]:
    """Make what is missing; what is there stays as it is.  Blocks.  Raises StreamDown."""
    with failing_as_stream_down(place):
        admin = KafkaAdminClient(**place.configs(), bootstrap_timeout_ms=_WITHIN_MS, request_timeout_ms=_WITHIN_MS)
        try:
            there = set(admin.list_topics())
            missing = [topic for topic in RETENTION_MS if place.named(topic) not in there]
            for topic in missing:
                _make(admin, place, topic, partitions, replication)
            counts = _partitions(admin, [place.named(topic) for topic in RETENTION_MS])
        finally:
            admin.close()
    return [
        TopicMade(place.named(topic), counts.get(place.named(topic), partitions), topic in missing)
        for topic in RETENTION_MS
    ]


def _make(admin: KafkaAdminClient, place: KafkaPlace, topic: str, partitions: int, replication: int) -> None:
    told = {"retention.ms": str(RETENTION_MS[topic])}
    # Two of these commands at once: the other one was first.
    with suppress(kafka_errors.TopicAlreadyExistsError):
        admin.create_topics([NewTopic(place.named(topic), partitions, replication, topic_configs=told)])


def _partitions(admin: KafkaAdminClient, names: list[str]) -> dict[str, int]:
    return {found["name"]: len(found["partitions"]) for found in admin.describe_topics(names)}
