"""What samples counts; docs/metrics.md names it all."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from contracts.messages import Topic
from services.runtime.tallies import CountTally
from services.runtime.telemetry import counter, gauge, histogram


class SamplesMetrics:
    """One object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = counter(
            registry, "rankgr_samples_published", "Samples published: first ones and corrections.", ("kind",)
        )
        self.events = CountTally(
            registry,
            "rankgr_samples_events",
            "Messages by what became of them: joined, repeated, late, corrected, flood, foreign, refused.",
            ("topic", "outcome"),
        )
        self.lost = counter(
            registry, "rankgr_samples_lost", "Messages that the stream dropped before they were read.", ("topic",)
        )
        self.lag = gauge(registry, "rankgr_samples_lag", "Messages that were not read yet.", ("topic",))
        self.outages = counter(
            registry, "rankgr_samples_outages", "Failed calls to the event stream or to the state's disk.", ("what",)
        )
        self.turns = histogram(registry, "rankgr_samples_turn_seconds", "Time of one turn, from messages to samples.")
        self.users = gauge(registry, "rankgr_samples_users", "Users in memory.")
        self.open_sessions = gauge(registry, "rankgr_samples_open_sessions", "Sessions that wait for their end.")
        self.unsampled = gauge(
            registry, "rankgr_samples_unsampled", "Sessions without any interaction that ended since the start."
        )
        self.waiting = gauge(
            registry, "rankgr_samples_waiting", "Messages that are written down and not yet published."
        )
        self.watermark_age = gauge(
            registry, "rankgr_samples_watermark_age_seconds", "How far event time lies behind the clock."
        )
        # There from the outset: an increase from nothing to one is none to whoever watches.
        for topic in (Topic.INTERACTIONS, Topic.TRIGGERS, Topic.CANDIDATES):
            self.events.labels(topic, "refused")
            self.lost.labels(topic)
