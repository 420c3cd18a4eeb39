"""What became of publications, and the metric that counts them."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import CollectorRegistry

from services.runtime.telemetry import counter


class Publication(StrEnum):
    """How an attempt to promote a bundle ended."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    """The gate said no."""
    DAMAGED = "damaged"
    """It could not be read whole."""
    OVERTAKEN = "overtaken"
    """Somebody else moved the channel first."""
    FAILED = "failed"
    """The store did not answer, or its disk is full."""


class PublicationMetrics:
    """Counts publications; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._publications = counter(
            registry, "rankgr_bundle_publications", "Attempts to promote a bundle, by how they ended.", ("outcome",)
        )
        # There from the outset: an increase from nothing to one is none to whoever watches.
        for outcome in Publication:
            self._publications.labels(outcome.value)

    def note(self, outcome: Publication) -> None:
        """Count one."""
        self._publications.labels(outcome.value).inc()
