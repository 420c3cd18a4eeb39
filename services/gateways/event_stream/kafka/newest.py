"""The newest messages of a topic, read without joining any group: for people who look."""

from __future__ import annotations

import time

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from services.gateways.event_stream.kafka.log_edges import end_offsets, first_offsets
from services.gateways.event_stream.kafka.place import KafkaPlace

WITHIN_S = 5.0
_POLL_MS = 200


def newest_messages(place: KafkaPlace, topic: str, most: int) -> list[bytes]:
    """At most `most` payloads, oldest first by their time.  Blocks; raises kafka-python's errors."""
    consumer = KafkaConsumer(
        **place.configs(),
        group_id=None,
        enable_auto_commit=False,
        allow_auto_create_topics=False,
        bootstrap_timeout_ms=2000,
        request_timeout_ms=5000,
        metrics_enabled=False,
    )
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        if not partitions:
            raise kafka_errors.UnknownTopicOrPartitionError(topic)
        consumer.assign(partitions)
        first, last = first_offsets(consumer, partitions), end_offsets(consumer, partitions)
        left = set()
        for partition in partitions:
            begin = max(first[partition], last[partition] - most)
            consumer.seek(partition, begin)
            if begin < last[partition]:
                left.add(partition)
        found: list[tuple[int, bytes]] = []
        deadline_s = time.monotonic() + WITHIN_S
        while left and time.monotonic() < deadline_s:
            for partition, records in consumer.poll(timeout_ms=_POLL_MS).items():
                found += [(record.timestamp, record.value or b"") for record in records]
                if consumer.position(partition) >= last[partition]:
                    left.discard(partition)
    finally:
        consumer.close(timeout_ms=1000)
    found.sort(key=lambda one: one[0])
    return [payload for _time, payload in found[max(0, len(found) - most) :]]
