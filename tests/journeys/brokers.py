"""A broker of either kind under real processes: frozen, resumed, killed, started again where it was."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from services.gateways.event_stream.in_kafka import KafkaEventStream
from services.gateways.event_stream.in_redis import RedisEventStream
from services.gateways.event_stream.kafka.membership import GroupTimes
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import EventStream
from services.gateways.redis_link import RedisTimes
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions
from tests.kafka_broker import KafkaBroker, create_topics

StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]
SESSION_S = 1.0


class Broker(Protocol):
    """What the tests do to it.  `keeps`: what was acknowledged outlives its end."""

    keeps: bool

    def told(self) -> dict[str, str]: ...
    def stream(self) -> EventStream: ...
    def freeze(self) -> None: ...
    def resume(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...


@dataclass
class RedisBroker:
    """Redis Streams, every event on disk before it is acknowledged."""

    start: StartRedis
    server: EmbeddedRedis
    keeps: bool = True

    OPTIONS = ServerOptions(append_only=True, fsync="always")

    @classmethod
    def begin(cls, start: StartRedis, directory: Path) -> RedisBroker:
        return cls(start, start(directory, cls.OPTIONS))

    def told(self) -> dict[str, str]:
        return {"RANKGR_STREAM_REDIS_URL": self.server.url}

    def stream(self) -> EventStream:
        limits = StreamLimits(retry_after_s=5.0, retry_delay_s=0.1)
        return RedisEventStream.connect(self.server.url, SystemClock(), limits=limits, times=RedisTimes(2.0, 2.0, 2.0))

    def freeze(self) -> None:
        self.server.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.server.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.server.kill()

    def restart(self) -> None:
        self.server = self.start(self.server.directory, replace(self.OPTIONS, port=self.server.port))


@dataclass
class TansuBroker:
    """Kafka's protocol, kept in memory."""

    broker: KafkaBroker
    keeps: bool = False

    @classmethod
    def begin(cls) -> TansuBroker:
        made = cls(KafkaBroker.start())
        create_topics(made.broker.bootstrap)
        return made

    def told(self) -> dict[str, str]:
        return {
            "RANKGR_KAFKA_BOOTSTRAP": self.broker.bootstrap,
            "RANKGR_KAFKA_SESSION_TIMEOUT_S": str(SESSION_S),
        }

    def stream(self) -> EventStream:
        limits = StreamLimits(retry_after_s=5.0, retry_delay_s=0.1)
        return KafkaEventStream(
            self.broker.place, SystemClock(), limits=limits, times=GroupTimes(SESSION_S, SESSION_S / 3)
        )

    def freeze(self) -> None:
        self.broker.freeze()

    def resume(self) -> None:
        self.broker.resume()

    def kill(self) -> None:
        self.broker.kill()

    def restart(self) -> None:
        self.broker = KafkaBroker.start(port=self.broker.port)
        create_topics(self.broker.bootstrap)
