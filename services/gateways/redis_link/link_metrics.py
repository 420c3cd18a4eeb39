"""What happens on the shared connections to Redis; docs/metrics.md names it all.  Mains pass it to adapters."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.gateways.redis_link.link_errors import Reason
from services.runtime.tallies import CountTally
from services.runtime.telemetry import gauge


class LinkMetrics:
    """What happens on the connections to Redis; a LinkWatch."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failures = CountTally(
            registry, "rankgr_redis_failures", "Connections that ended or could not be had, by reason.", ("reason",)
        )
        self._open = gauge(
            registry, "rankgr_redis_breakers_open", "Servers that are not asked, because they did not answer."
        )
        self._openings = CountTally(registry, "rankgr_redis_breaker_openings", "Breakers that opened.")

    def failed(self, reason: Reason) -> None:
        """See LinkWatch."""
        self._failures.labels(reason.value).add()

    def turned(self, *, opened: bool) -> None:
        """See LinkWatch."""
        self._open.inc(1 if opened else -1)
        if opened:
            self._openings.labels().add()
