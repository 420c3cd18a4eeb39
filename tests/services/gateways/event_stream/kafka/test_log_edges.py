"""What is said where kafka-python has no answer for a partition.

Found on a broker that came back without its topics: kafka-python's own KeyError ended the loops that consume.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from kafka import TopicPartition
from kafka import errors as kafka_errors

from services.gateways.event_stream.kafka.log_edges import end_offsets, first_offsets

HERE, GONE = TopicPartition("triggers", 0), TopicPartition("triggers", 4)


@dataclass(frozen=True, slots=True)
class AsKafkaPython:
    """As kafka-python 3.0.12 answers: what it was not told is looked up in what it was told."""

    known: dict[TopicPartition, int] = field(default_factory=lambda: {HERE: 7})

    def end_offsets(self, places: list[TopicPartition], timeout_ms: int | None = None) -> dict[TopicPartition, int]:
        assert timeout_ms in (None, 2000)
        return {place: self.known[place] for place in places}

    def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self.known[place] - 7 for place in places}


def test_what_is_known_is_passed_on() -> None:
    assert end_offsets(AsKafkaPython(), {HERE}, 2000) == {HERE: 7}
    assert first_offsets(AsKafkaPython(), [HERE]) == {HERE: 0}


def test_a_partition_that_is_gone_is_an_error_of_kafka_s() -> None:
    with pytest.raises(kafka_errors.UnknownTopicOrPartitionError):
        end_offsets(AsKafkaPython(), [HERE, GONE])
    with pytest.raises(kafka_errors.UnknownTopicOrPartitionError):
        first_offsets(AsKafkaPython(), [GONE])
