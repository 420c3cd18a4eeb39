"""`rankgr bench sids`: measures what it says, on few items."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import BadRequest
from contracts.progress import Silent
from model.semantic_id.settings import RqVaeSettings, SidSettings
from services.bench.sids.main import Options
from services.bench.sids.report import Outcome
from services.bench.sids.run import measure
from services.bench.sids.vectors import make_vectors

SHORT = RqVaeSettings(latent=8, hidden=16, steps=20, warm_up=5, batch=64)


@pytest.mark.parametrize("method", ["rkmeans", "rqvae"])
def test_every_stage_is_timed_and_the_ids_are_unique(method: str) -> None:
    settings = SidSettings(method=method, level_sizes=(16, 64), cap=1, dims=8, rqvae=SHORT)  # type: ignore[arg-type]
    outcome = Outcome({"cpu": "some"}, 600, settings, measure(600, settings, Silent()))
    content = outcome.content()
    assert [row.stage for row in outcome.measured.rows] == ["quantiser", "codes", "collisions", "catalogue"]
    assert all(row.seconds >= 0 and row.peak_rss_mb > 10 for row in outcome.measured.rows)
    assert outcome.seconds == pytest.approx(sum(row.seconds for row in outcome.measured.rows), abs=0.01)
    assert outcome.measured.report is not None
    assert outcome.measured.report["max_items_per_sid"] == 1
    assert 0 < outcome.measured.moved < 600
    assert 0 < outcome.measured.lost <= outcome.measured.lost_settled
    assert {"machine", "shape", "rows", "seconds", "peak_rss_mb"} <= content.keys()
    assert "| collisions |" in outcome.page()


def test_vectors_are_unit_rows_repeatable_and_in_groups() -> None:
    seen: list[int] = []
    one, again = make_vectors(500, 16, 0, seen.append), make_vectors(500, 16, 0, lambda _: None)
    assert sum(seen) == 500
    np.testing.assert_array_equal(one, again)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
    likeness = one @ one.T - np.eye(500)
    assert likeness.max(axis=1).mean() > 0.5


def test_more_items_than_places_are_refused_before_any_work() -> None:
    with pytest.raises(BadRequest, match="items: 5000 do not fit 4096 places"):
        Options(5000, SidSettings(level_sizes=(64, 64)), quick=False)
    assert Options(10**6, SidSettings(level_sizes=(256, 256)), quick=True).count == 20_000
