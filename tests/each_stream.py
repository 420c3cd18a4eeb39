"""The event streams that a promise is held on, by kind: in memory, and against the real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.gateways.event_stream.in_kafka import KafkaEventStream
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.gateways.event_stream.in_redis import RedisEventStream
from services.gateways.event_stream.kafka.membership import GroupTimes
from services.gateways.event_stream.kafka.publisher import PublishLimits
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import EventStream
from services.runtime.clock import SystemClock
from tests.kafka_broker import create_topics
from tests.kafka_notes import NotesProxy

EACH_STREAM = ["memory", pytest.param("redis", marks=pytest.mark.redis), "kafka"]
KAFKA_TIMES = GroupTimes(session_s=1.0, heartbeat_s=0.1)
# The machine of the tests may be busy.
KAFKA_PUBLISHING = PublishLimits(within_s=5.0)


@contextmanager
def kafka_of(kind: str) -> Iterator[NotesProxy | None]:
    """A broker of the test's own, where it is about Kafka."""
    if kind != "kafka":
        yield None
        return
    proxy = NotesProxy.start()
    try:
        create_topics(proxy.bootstrap)
        yield proxy
    finally:
        proxy.stop()


def stream_of(kind: str, kafka: NotesProxy | None, request: pytest.FixtureRequest, limits: StreamLimits) -> EventStream:
    """A stream of this kind; on Redis on the server of the fixture `redis_url`."""
    if kafka is not None:
        return KafkaEventStream(
            kafka.place, SystemClock(), limits=limits, publishing=KAFKA_PUBLISHING, times=KAFKA_TIMES
        )
    if kind == "memory":
        return MemoryEventStream(SystemClock(), limits)
    return RedisEventStream.connect(request.getfixturevalue("redis_url"), SystemClock(), limits=limits)
