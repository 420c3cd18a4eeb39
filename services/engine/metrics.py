"""What the engine counts; docs/metrics.md names it all."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from contracts.errors import RankGRError
from services.engine.recommend_items import EngineOutcome
from services.runtime.telemetry import counter, gauge, histogram

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class EngineMetrics:
    """Counts requests, batches and stages; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = counter(
            registry, "rankgr_engine_requests", "Prompts by outcome: ok, or the error's name.", ("outcome",)
        )
        self._stages = histogram(
            registry, "rankgr_engine_stage_seconds", "Time of each stage, the queue included.", ("stage",)
        )
        self._batch = histogram(
            registry, "rankgr_engine_batch_prompts", "Prompts decoded together.", buckets=BATCH_BUCKETS
        )
        self.waiting = gauge(registry, "rankgr_engine_waiting", "Prompts that wait for their turn.")

    def note(self, outcome: EngineOutcome) -> None:
        """Count one prompt."""
        if isinstance(outcome, RankGRError):
            self._requests.labels(type(outcome).__name__).inc()
            return
        self._requests.labels("ok").inc()
        for stage, took_ms in outcome.timings_ms.items():
            self._stages.labels(stage).observe(took_ms / 1000)

    def note_batch(self, prompts: int) -> None:
        """Count one batch."""
        self._batch.observe(prompts)
