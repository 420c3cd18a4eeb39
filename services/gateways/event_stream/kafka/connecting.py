"""kafka-python's consumer, connected or not there at all: members of groups and readers begin here.  Blocks."""

from __future__ import annotations

from collections.abc import Mapping

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient

from services.gateways.event_stream.kafka.link import FAILURES

REQUEST_S = 5.0
BOOTSTRAP_S = 2.0


def connected_consumer(topic: str, configs: Mapping[str, object], subscribed: tuple[str, ...] = ()) -> KafkaConsumer:
    """A consumer that knows the topic's partitions; `subscribed`: what it shares with its group.

    Raises kafka-python's errors, UnknownTopicOrPartitionError for a topic that is not there.
    """
    made: list[KafkaNetClient] = []

    def client(**told: object) -> KafkaNetClient:
        made.append(KafkaNetClient(**told))
        return made[-1]

    try:
        consumer = KafkaConsumer(
            *subscribed,
            kafka_client=client,
            **configs,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            bootstrap_timeout_ms=round(BOOTSTRAP_S * 1000),
            request_timeout_ms=round(REQUEST_S * 1000),
            metrics_enabled=False,
        )
        if not consumer.partitions_for_topic(topic):
            raise kafka_errors.UnknownTopicOrPartitionError(topic)
    except FAILURES:
        # A consumer that could not be made leaves its thread behind, which nobody else would end.
        for one in made:
            one.close()
        raise
    return consumer
