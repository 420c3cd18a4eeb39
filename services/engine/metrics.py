"""What the engine counts; docs/metrics.md names it all."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from contracts.errors import RankGRError
from services.engine.recommendation import Abandoned, EngineOutcome
from services.runtime.tallies import RecentCountTally
from services.runtime.telemetry import counter, gauge, histogram

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class EngineMetrics:
    """Counts requests, batches and stages; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = counter(
            registry, "rankgr_engine_requests", "Prompts by outcome: ok, Abandoned, or the error's name.", ("outcome",)
        )
        self._by_model = RecentCountTally(
            registry,
            "rankgr_engine_model_requests",
            "Prompts by the model that took them and their outcome, for the newest few models.",
            ("model_version", "outcome"),
        )
        self._stages = histogram(
            registry, "rankgr_engine_stage_seconds", "Time of each stage, the queue included.", ("stage",)
        )
        self._batch = histogram(
            registry, "rankgr_engine_batch_prompts", "Prompts decoded together.", buckets=BATCH_BUCKETS
        )
        self._tokens = counter(
            registry,
            "rankgr_engine_prompt_tokens",
            "Prompt tokens: computed, or reused from the user's last prompt.",
            ("kind",),
        )
        self.cache_bytes = gauge(
            registry, "rankgr_engine_prefix_cache_bytes", "What is kept of users' last prompts, in bytes."
        )
        self.waiting = gauge(registry, "rankgr_engine_waiting", "Prompts that wait for their turn.")
        self.inside = gauge(registry, "rankgr_engine_inside", "Prompts that wait or are being decoded.")
        self.per_prompt = gauge(
            registry, "rankgr_engine_seconds_per_prompt", "Time that the engine needs per prompt, as measured lately."
        )
        self.model = gauge(
            registry,
            "rankgr_engine_model_info",
            "1 for the versions that are served.",
            ("model_version", "catalog_version"),
        )

    def note(self, outcome: EngineOutcome, model_version: str) -> None:
        """Count one prompt of this model's."""
        name = type(outcome).__name__ if isinstance(outcome, RankGRError | Abandoned) else "ok"
        self._requests.labels(name).inc()
        self._by_model.labels(model_version, name).add()
        if isinstance(outcome, RankGRError | Abandoned):
            return
        for stage, took_ms in outcome.timings_ms.items():
            self._stages.labels(stage).observe(took_ms / 1000)
        for kind in ("reused", "computed"):
            self._tokens.labels(kind).inc(outcome.counts.get(f"{kind}_tokens", 0))

    def serves(self, model_version: str, catalog_version: str) -> None:
        """Show what is served from now on."""
        self.model.clear()
        self.model.labels(model_version, catalog_version).set(1)

    def note_batch(self, prompts: int) -> None:
        """Count one batch."""
        self._batch.observe(prompts)
