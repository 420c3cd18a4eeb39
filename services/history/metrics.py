"""What history counts; docs/metrics.md names it all."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from contracts.behaviors import Behavior
from services.runtime.telemetry import counter


class HistoryMetrics:
    """Counts interactions; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._interactions = counter(
            registry, "rankgr_history_interactions", "Interactions that entered a history.", ("behavior",)
        )

    def note(self, behavior: Behavior) -> None:
        """Count one."""
        self._interactions.labels(behavior.value).inc()
