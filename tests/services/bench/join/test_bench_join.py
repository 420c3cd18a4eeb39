"""`rankgr bench join`: measures what it says, on a few page views."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.bench.join.main import Outcome, measure_whole
from services.bench.join.run import measure
from services.bench.join.whole import messages


def test_every_page_view_becomes_a_sample_and_both_figures_are_there() -> None:
    outcome = Outcome({"cpu": "some"}, measure(views=50, users=10, sessions=20, seed=0))
    assert outcome.measured.samples == 50
    assert outcome.measured.interactions >= 500
    content = outcome.content()
    assert {"machine", "rows", "interactions_per_s", "mb_per_million_open_sessions"} == content.keys()
    assert "interactions/s" in outcome.page()


@pytest.mark.redis
def test_the_whole_loop_makes_the_same_samples_and_says_what_they_cost(tmp_path: Path) -> None:
    pure = measure(views=30, users=10, sessions=5, seed=0)
    whole = measure_whole(messages(views=30, users=10, seed=0), 30, tmp_path)
    assert whole.samples == 30
    assert whole.processor_s > 0
    outcome = Outcome({"cpu": "some"}, pure, whole)
    assert outcome.content()["whole_interactions_per_s"] == round(whole.interactions / whole.wall_s)
    assert "with stream and disk" in outcome.page()
