"""A publisher that counts what becomes of publications; mains put it around the stream that their verbs publish to."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from prometheus_client import CollectorRegistry

from contracts.errors import StreamBusy
from services.gateways.event_stream.port import EventPublisher
from services.runtime.tallies import CountTally, SpreadTally
from services.runtime.telemetry import gauge


class PublishMetrics:
    """What is counted; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.publications = CountTally(
            registry,
            "rankgr_stream_publications",
            "Publications by what became of them: acked, refused (too many on their way), failed.",
            ("topic", "outcome"),
        )
        self.seconds = SpreadTally(
            registry, "rankgr_stream_publish_seconds", "Time to a publication's acknowledgement.", ("topic",)
        )
        self.in_flight = gauge(registry, "rankgr_stream_publishing", "Publications that wait to be acknowledged.")


@dataclass(slots=True)
class CountedPublisher:
    """See EventPublisher."""

    stream: EventPublisher
    metrics: PublishMetrics
    _in_flight: int = 0

    def __post_init__(self) -> None:
        self.metrics.in_flight.set_function(lambda: self._in_flight)

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        """See the port."""
        began_s = perf_counter()
        self._in_flight += 1
        outcome = "failed"
        try:
            await self.stream.publish(topic, key, payload)
            outcome = "acked"
        except StreamBusy:
            outcome = "refused"
            raise
        finally:
            self._in_flight -= 1
            self.metrics.publications.labels(topic, outcome).value += 1
            if outcome == "acked":
                self.metrics.seconds.labels(topic).note(perf_counter() - began_s)
