"""Settings as the Kafka adapter's own words."""

from __future__ import annotations

from random import Random

from services.gateways.event_stream.in_kafka import KafkaEventStream
from services.gateways.event_stream.kafka.membership import GroupTimes
from services.gateways.event_stream.kafka.place import KafkaPlace, Sasl, Tls
from services.gateways.event_stream.kafka.publisher import PublishLimits
from services.gateways.event_stream.limits import StreamLimits
from services.runtime.clock import Clock
from services.runtime.settings import KafkaSettings


def kafka_place(settings: KafkaSettings) -> KafkaPlace:
    """Where the brokers are, and how one gets in."""
    sasl = tls = None
    if settings.kafka_username is not None and settings.kafka_password is not None:
        sasl = Sasl(settings.kafka_sasl_mechanism, settings.kafka_username, settings.kafka_password.get_secret_value())
    if settings.kafka_tls:
        secret = settings.kafka_key_password
        tls = Tls(
            ca=settings.kafka_ca_file,
            cert=settings.kafka_cert_file,
            key=settings.kafka_key_file,
            key_password=None if secret is None else secret.get_secret_value(),
            check_hostname=settings.kafka_check_hostname,
        )
    return KafkaPlace(settings.kafka_brokers, sasl=sasl, tls=tls, prefix=settings.kafka_prefix)


def kafka_stream(
    settings: KafkaSettings, clock: Clock, *, limits: StreamLimits | None, random: Random | None
) -> KafkaEventStream:
    """A stream that connects on its first call."""
    return KafkaEventStream(
        kafka_place(settings),
        clock,
        limits=limits,
        publishing=PublishLimits(
            within_s=settings.kafka_publish_within_ms / 1000,
            most_events=settings.kafka_max_in_flight,
            most_bytes=settings.kafka_max_in_flight_mb * 1024 * 1024,
        ),
        times=GroupTimes(
            session_s=settings.kafka_session_timeout_s,
            heartbeat_s=settings.kafka_session_timeout_s / 3,
            fetch_wait_s=settings.kafka_fetch_wait_ms / 1000,
        ),
        random=random,
    )
