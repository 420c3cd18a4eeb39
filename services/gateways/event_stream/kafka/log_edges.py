"""Where the logs of partitions begin and end, as their brokers say.

kafka-python answers with a KeyError for a partition that is no longer there (its topic was deleted, or its broker came
back without it): here that is the error which the rest of the adapter understands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

Edges = dict[TopicPartition, int]


def first_offsets(consumer: KafkaConsumer, places: Collection[TopicPartition]) -> Edges:
    """The offset of the oldest message.  Raises KafkaError, UnknownTopicOrPartitionError among them."""
    return _known(consumer.beginning_offsets, places)


def end_offsets(consumer: KafkaConsumer, places: Collection[TopicPartition], timeout_ms: int | None = None) -> Edges:
    """The offset after the newest message.  Raises as `first_offsets`."""
    return _known(lambda listed: consumer.end_offsets(listed, timeout_ms=timeout_ms), places)


def _known(ask: Callable[[list[TopicPartition]], Edges], places: Collection[TopicPartition]) -> Edges:
    try:
        return ask(list(places))
    except KeyError as missing:
        raise kafka_errors.UnknownTopicOrPartitionError(str(missing)) from missing
