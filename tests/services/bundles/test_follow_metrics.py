"""What is shown of the bundle that serves."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry

from contracts.manifest import Manifest
from services.bundles.follow_metrics import FollowMetrics
from services.runtime.clock import ManualClock


def shown(created_at: str) -> float | None:
    registry = CollectorRegistry()
    manifest = Manifest(model_version="m1", catalog_version="c1", created_at=created_at, data={}, metrics={}, files={})
    FollowMetrics(registry).serves(manifest, ManualClock())
    return registry.get_sample_value("rankgr_bundle_created_seconds")


@pytest.mark.parametrize("written", ["2026-11-28T12:00:00+00:00", "2026-11-28T13:00:00+01:00", "2026-11-28T12:00:00"])
def test_a_model_s_age_counts_from_when_its_bundle_was_made(written: str) -> None:
    assert shown(written) == 1_795_867_200


def test_a_bundle_that_does_not_say_when_it_was_made_has_no_age() -> None:
    told = shown("yesterday")
    assert told is not None
    assert math.isnan(told)


def test_what_has_not_happened_yet_is_counted_as_zero() -> None:
    registry = CollectorRegistry()
    FollowMetrics(registry)
    for outcome in ("swapped", "refused", "failed"):
        assert registry.get_sample_value("rankgr_bundle_swaps_total", {"outcome": outcome}) == 0
