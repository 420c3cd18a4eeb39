"""`rankgr bench join`: measures what it says, on a few page views."""

from __future__ import annotations

from services.bench.join.main import Outcome
from services.bench.join.run import measure


def test_every_page_view_becomes_a_sample_and_both_figures_are_there() -> None:
    outcome = Outcome({"cpu": "some"}, measure(views=50, users=10, sessions=20, seed=0))
    assert outcome.measured.samples == 50
    assert outcome.measured.interactions >= 500
    content = outcome.content()
    assert {"machine", "rows", "interactions_per_s", "mb_per_million_open_sessions"} == content.keys()
    assert "interactions/s" in outcome.page()
