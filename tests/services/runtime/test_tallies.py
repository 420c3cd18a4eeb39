"""Tallies are exposed as the client library exposes its own counters and histograms."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from services.runtime.tallies import CountTally, SpreadTally
from services.runtime.telemetry import counter, histogram


def exposed(registry: CollectorRegistry) -> str:
    """Without the times of creation, which the library adds to its own."""
    lines = generate_latest(registry).decode().splitlines()
    return "\n".join(line for line in lines if not re.search(r"_created\b", line))


@given(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 7.0]), max_size=30))
def test_both_kinds_look_like_the_library_s(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    count, spread = (
        CountTally(ours, "rankgr_a", "says", ("x",)),
        SpreadTally(ours, "rankgr_b", "says", ("x",), (0.25, 1.0)),
    )
    their_count = counter(theirs, "rankgr_a", "says", ("x",))
    their_spread = histogram(theirs, "rankgr_b", "says", ("x",), (0.25, 1.0))
    for number, value in enumerate(values):
        label = 'a"\\\n' if number % 2 else "b"
        count.labels(label).add(value)
        spread.labels(label).note(value)
        their_count.labels(label).inc(value)
        their_spread.labels(label).observe(value)
    assert exposed(ours) == exposed(theirs)


def test_a_tally_without_our_prefix_or_with_other_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="rankgr_"):
        CountTally(CollectorRegistry(), "requests", "x")
    with pytest.raises(ValueError, match="labels"):
        CountTally(CollectorRegistry(), "rankgr_x", "x", ("a",)).labels()
