"""Rows, tables and figures from turns that are written down here."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from services.bench.engine.cases import Case
from services.bench.engine.figures import draw
from services.bench.engine.lists import Difference
from services.bench.engine.messages import Found
from services.bench.engine.report import Machine, as_json, as_markdown
from services.bench.engine.shapes import SMALL
from services.bench.engine.tally import Row, Tally
from services.bench.engine.terms import Outcome

EQUAL, UNEQUAL = Difference(0, 1e-7, 1.0), Difference(3, 1e-7, 0.9)
MACHINE: Machine = {"cpu": "a processor", "device": "cpu", "threads": 2}


def found(seconds: float) -> Found:
    return Found(seconds=seconds, stages_ms={"prefill": 4.0, "level1": 2.0}, peak_rss_mb=300.0, grown_mb=8.0)


def tally(seconds: list[float], *, users: int = 2, to_torch: list[Difference] | None = None) -> Tally:
    case = Case("users", 0, (64,) * users, SMALL.beams, SMALL.lambdas)
    return Tally("vllm", case, "float32", 1e9, [found(one) for one in seconds], [EQUAL], to_torch or [EQUAL])


def test_a_row_is_per_user_and_takes_median_and_p90_over_the_turns() -> None:
    row = tally([0.1, 0.2, 0.3]).row(product_flops=4e10)
    assert (row.ms_per_user_median, row.ms_per_user_p90, row.users_per_s) == (100.0, 140.0, 10.0)
    assert row.stages_ms == {"prefill": 2.0, "level1": 1.0}
    assert (row.gflops, row.share_of_product) == (10.0, 0.25)
    assert (row.equal_to_reference, row.equal_to_torch, row.turns) == (True, True, 3)


def test_one_unequal_list_makes_the_row_and_the_run_unequal() -> None:
    equal, unequal = tally([0.1]).row(None), tally([0.1], to_torch=[EQUAL, UNEQUAL]).row(None)
    assert (equal.equal_to_torch, unequal.equal_to_torch) == (True, False)
    assert Outcome(rows=[equal]).equal
    outcome = Outcome(rows=[equal, unequal])
    assert not outcome.equal
    assert "NO (torch)" in as_markdown(SMALL, MACHINE, outcome)


def test_json_is_json_and_says_who_was_left_out() -> None:
    outcome = Outcome(rows=[tally([0.1]).row(None)], skipped=[("vllm", "vllm is not installed")], product_flops=7e10)
    content = json.loads(json.dumps(as_json(SMALL, MACHINE, outcome), allow_nan=False))
    assert content["skipped"] == [{"host": "vllm", "why": "vllm is not installed"}]
    assert content["plain_product_gflops"] == 70.0
    assert content["shape"]["hidden_size"] == SMALL.hidden_size
    assert "vllm left out: vllm is not installed" in as_markdown(SMALL, MACHINE, outcome)


def test_figures_are_svg_and_the_same_for_the_same_rows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows: list[Row] = [tally([0.1], users=users).row(None) for users in (1, 2, 4)]
    first = draw(rows, "small", tmp_path)
    assert [path.name for path in first] == ["users.svg", "hosts.svg", "stages.svg"]
    drawn = [path.read_bytes() for path in first]
    for content in drawn:
        assert ElementTree.fromstring(content).tag.endswith("svg")
    assert [path.read_bytes() for path in draw(rows, "small", tmp_path)] == drawn
