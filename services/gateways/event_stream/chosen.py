"""The event stream that the settings name: Kafka where RANKGR_KAFKA_BOOTSTRAP is set, Redis Streams where it is not.

Mains and the command line open their stream here.  kafka-python is imported only where it is used: it costs 20 MB.
"""

from __future__ import annotations

from random import Random

from services.gateways.event_stream.in_redis import RedisEventStream
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import EventStream
from services.gateways.redis_link import RedisTimes
from services.runtime.clock import Clock
from services.runtime.settings import StreamSettings

# With what comes before it, a refusal then takes less than three tenths of a second.
REDIS_TIMES = RedisTimes(connect_s=0.2, answer_s=0.2, free_connection_s=0.2)


def open_stream(
    settings: StreamSettings, clock: Clock, *, limits: StreamLimits | None = None, random: Random | None = None
) -> EventStream:
    """It connects on its first call."""
    if settings.kafka_brokers:
        from services.gateways.event_stream.kafka_by_settings import kafka_stream

        return kafka_stream(settings, clock, limits=limits, random=random)
    return RedisEventStream.connect(settings.stream_url, clock, limits=limits, times=REDIS_TIMES, random=random)
