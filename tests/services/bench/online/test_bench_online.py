"""`rankgr bench online`: its JSON, its files, and its words where something is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from services.bench.online.cases import NAMES
from services.bench.online.figure import draw
from services.bench.online.report import Load, Outcome, Row
from services.bench.online.starts import Start, StartRow, Starts, in_turn
from tests.services.cli.command_line import run_process

PROMISED = {
    "retrieve_page50",
    "retrieve_full",
    "plain_page50",
    "plain_full",
    "redis_get",
    "trigger_kafka",
    "trigger_streams",
    "empty_route",
}


def test_all_promised_cases_are_there() -> None:
    assert set(NAMES) >= PROMISED


def test_an_unknown_case_is_named() -> None:
    finished = run_process("bench", "online", "--cases", "retrieve_page51")
    assert (finished.code, finished.out) == (1, "")
    assert "retrieve_page51" in finished.err


def test_without_wrk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    finished = run_process("bench", "online", "--json")
    assert (finished.code, finished.out) == (1, "")
    assert "apt-get install wrk" in finished.err


def test_a_run_is_told_in_json_in_tables_and_as_a_picture(tmp_path: Path) -> None:
    outcome = Outcome({"cpu": "one"})
    outcome.rows = [
        Row("retrieve_full_json", "saturation", 2000.0, 30.0, 60.0, 0, cpu_us_per_request=500.0, core_share=1.0),
        Row("retrieve_full_json", "25%", 500.0, 1.0, 2.0, 0, offered_rps=500.0),
        Row("retrieve_full_json", "50%", 1000.0, 1.5, 3.0, 1, offered_rps=1001.0),
    ]
    outcome.overload = [
        Load(1.0, 2000.0, 1990.0, 0.0, 0.0, 0.0, 0, 40.0, 1.0),
        Load(3.0, 6000.0, 1950.0, 900.0, 3000.0, 1.0, 0, 150.0, 1.0),
    ]
    outcome.skipped = [("trigger_kafka", "no broker")]
    content = outcome.content()
    assert set(content) >= {"machine", "rows"}
    assert json.loads(json.dumps(content)) == content
    rows = content["rows"]
    assert isinstance(rows, list)
    assert all(set(row) >= {"case", "rate", "rps", "p50_ms", "p99_ms", "errors"} for row in rows)
    page = outcome.page()
    assert "| retrieve_full_json | saturation | - | 2,000 | 30.00 | 60.00 | 0 | 500 | 100% |" in page
    assert "trigger_kafka left out: no broker" in page
    picture = draw(outcome, tmp_path).read_text()
    assert picture.startswith("<?xml")
    assert draw(outcome, tmp_path).read_text() == picture


@pytest.mark.heavy
@pytest.mark.redis
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_short_run_measures_real_servers(tmp_path: Path) -> None:
    words = (
        "--cases",
        "empty_route,retrieve_page50,redis_get",
        "--quick",
        "--no-overload",
        "--json",
        "--out",
        tmp_path,
    )
    finished = run_process("bench", "online", *words)
    assert finished.code == 0, finished.err
    content = json.loads(finished.out)
    assert content == json.loads((tmp_path / "result.json").read_text())
    rates = {(row["case"], row["rate"]): row for row in content["rows"]}
    assert set(rates) == {
        ("empty_route", "saturation"),
        ("retrieve_page50", "saturation"),
        *(("retrieve_page50", rate) for rate in ("25%", "50%", "75%")),
        ("redis_get", "saturation"),
    }
    assert all(row["rps"] > 0 for row in rates.values())
    assert rates["retrieve_page50", "saturation"]["errors"] == 0
    assert content["machine"]["store_bytes_per_list"] <= 25_000
    assert (tmp_path / "online.svg").stat().st_size > 1000


def test_starts_are_told_by_their_median_and_extremes() -> None:
    seconds = iter((1.0, 5.0, 1.2, 5.2, 9.0, 5.1))
    asked: list[str] = []

    def start(case: str) -> Start:
        asked.append(case)
        return Start(next(seconds), 0.5, 60.0)

    found = Starts({"cpu": "one"}, in_turn(("one", "two"), 3, start))
    assert asked == ["one", "two"] * 3, "in turn: a machine that slows down slows both"
    assert found.rows == [StartRow("one", 3, 1.2, 1.0, 9.0, 0.5, 60.0), StartRow("two", 3, 5.1, 5.0, 5.2, 0.5, 60.0)]
    assert json.loads(json.dumps(found.content())) == found.content()
    assert "| one | 3 | 1.20 | 1.00 | 9.00 | 0.50 | 60 |" in found.page()


@pytest.mark.redis
def test_starts_of_real_servers_are_measured() -> None:
    finished = run_process("bench", "start", "--cases", "empty_route,retrieve_page50", "--times", "1", "--json")
    assert finished.code == 0, finished.err
    rows = {row["case"]: row for row in json.loads(finished.out)["rows"]}
    assert set(rows) == {"empty_route", "retrieve_page50"}
    assert all(row["starts"] == 1 and row["cpu_s"] > 0 and row["ready_after_s"] > 0 for row in rows.values())


def test_a_start_of_what_is_no_server_is_refused() -> None:
    finished = run_process("bench", "start", "--cases", "redis_get")
    assert (finished.code, finished.out) == (1, "")
    assert "redis_get" in finished.err
