"""What processes that follow a bundle store count; docs/metrics.md names it all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from contracts.manifest import Manifest
from services.gateways.bundle_store.port import version_of
from services.runtime.clock import Clock
from services.runtime.telemetry import counter, gauge, histogram

# From a light process's swap to a large model's load.
SWAP_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
UNKNOWN = float("nan")
OUTCOMES = ("swapped", "refused", "failed")


class FollowMetrics:
    """Shows which bundle is served and what came of others; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._info = gauge(
            registry,
            "rankgr_bundle_info",
            "1 for the bundle that is served.",
            ("bundle", "model_version", "catalog_version"),
        )
        self._swaps = counter(
            registry,
            "rankgr_bundle_swaps",
            "Bundles that were to be served: swapped, refused (no good), failed (tried again).",
            ("outcome",),
        )
        # There from the outset: an increase from nothing to one is none to whoever watches.
        for outcome in OUTCOMES:
            self._swaps.labels(outcome)
        self._stages = histogram(
            registry, "rankgr_bundle_swap_seconds", "Time of a swap's stages.", ("stage",), buckets=SWAP_BUCKETS_S
        )
        self._store_failures = counter(
            registry, "rankgr_bundle_store_failures", "Looks at the bundle store that failed."
        )
        self._newest = gauge(
            registry,
            "rankgr_bundle_newest_interaction_age_seconds",
            "Age of the newest interaction that the served weights have seen; NaN where the manifest does not say.",
        )
        self._created = gauge(
            registry,
            "rankgr_bundle_created_seconds",
            "Unix time at which the bundle that is served was made; NaN where its manifest has no such time.",
        )
        self._served_since = gauge(
            registry, "rankgr_bundle_served_since_seconds", "Unix time since which this bundle is served."
        )

    def serves(self, manifest: Manifest, clock: Clock) -> None:
        """Show that this bundle is served from now on."""
        self._info.clear()
        self._info.labels(version_of(manifest), manifest.model_version, manifest.catalog_version).set(1)
        self._served_since.set(clock.now_ms() / 1000)
        self._created.set(_unix_time(manifest.created_at))
        self._newest.set_function(_age_of(manifest.newest_interaction_ms, clock))

    def note(self, outcome: str) -> None:
        """Count a swap by `swapped`, `refused` or `failed`."""
        self._swaps.labels(outcome).inc()

    def note_stage(self, stage: str, seconds: float) -> None:
        """Count one stage of a swap."""
        self._stages.labels(stage).observe(seconds)

    def note_store_failure(self) -> None:
        """Count a look that failed."""
        self._store_failures.inc()


def _unix_time(written: str) -> float:
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        return UNKNOWN
    # A manifest without a zone means UTC, wherever it is read.
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _age_of(newest_ms: int | None, clock: Clock) -> Callable[[], float]:
    if newest_ms is None:
        return lambda: UNKNOWN
    return lambda: max(0.0, (clock.now_ms() - newest_ms) / 1000)
