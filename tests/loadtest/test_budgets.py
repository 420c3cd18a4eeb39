"""Budgets are read strictly and kept or broken to the number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadtest.budgets import READY, SENDING, BadBudgets, Budgets, checks, longest_silence_s, overruns, read_budgets
from loadtest.run import Scenario
from loadtest.timeline import Kind, Result, Row, Timeline

ROOT = Path(__file__).parents[2]
BUDGETS = ROOT / "loadtest" / "budgets.toml"
GOOD = """
[steady.requests.trigger]
p99_ms = 100
failure_share = 0.01
refused_share = 0.02
[steady.lists]
fresh_share = 0.9
"""
MORE = """
ready_share = 0.5
fresh_share_at_end = 0.8
longest_silence_s = 3
not_fresh_at_least = 1
[steady.sending]
p99_late_ms = 20
"""
TRIGGER = Row(Kind.REQUEST, "trigger")
FRESH, FALLBACK = Row(Kind.LIST, "fresh"), Row(Kind.LIST, "fallback")


def read(tmp_path: Path, text: str) -> Budgets:
    path = tmp_path / "budgets.toml"
    path.write_text(text)
    return read_budgets(path, "steady")


def noted(run: Timeline, row: Row, times: int, second: int = 0, ms: float = 10.0, result: Result = Result.OK) -> None:
    for _ in range(times):
        run.note(row, second, ms, result)


def a_run(*, failed: int = 1, refused: int = 2, slow_ms: float = 100.0, fresh: int = 90) -> Timeline:
    run = Timeline()
    noted(run, TRIGGER, 95 - failed - refused)
    noted(run, TRIGGER, failed, result=Result.FAILED)
    noted(run, TRIGGER, refused, result=Result.REFUSED)
    noted(run, TRIGGER, 5, ms=slow_ms)
    noted(run, FRESH, fresh)
    noted(run, FALLBACK, 100 - fresh)
    return run


def test_what_lies_on_a_budget_keeps_it(tmp_path: Path) -> None:
    budgets = read(tmp_path, GOOD)
    assert overruns(budgets, a_run()) == []
    assert [check.kept for check in checks(budgets, a_run())] == [True] * 4


def test_each_broken_budget_is_one_line(tmp_path: Path) -> None:
    run = a_run(failed=2, refused=3, slow_ms=101.0, fresh=89)
    assert overruns(read(tmp_path, GOOD), run) == [
        "trigger: p99 101 ms, budget 100 ms",
        "trigger: 2 of 100 failed, budget 1.00%",
        "trigger: 3 of 100 refused, budget 2.00%",
        "lists: 89 of 100 fresh, budget 90.00%",
    ]


def test_a_run_without_requests_keeps_no_budget(tmp_path: Path) -> None:
    broken = overruns(read(tmp_path, GOOD + MORE), Timeline())
    assert [line.split(":")[0] for line in broken] == ["trigger", "lists", "sending"]


def test_what_was_ready_when_asked_for_the_end_silence_and_lateness_have_budgets(tmp_path: Path) -> None:
    budgets, run = read(tmp_path, GOOD + MORE), Timeline()
    for second in range(20):
        noted(run, TRIGGER, 1, second)
        if second not in (5, 6, 7, 8):
            noted(run, FRESH, 25 if second < 16 else 3, second)
    noted(run, FALLBACK, 3, 17)
    noted(run, READY, 4)
    noted(run, Row(Kind.MASKING, "waited"), 5)
    noted(run, SENDING, 10, ms=21.0)
    # Twelve fresh ones and three others in the last four seconds: on the budget.
    assert overruns(budgets, run) == [
        "lists: 44.44% ready when asked for, budget 50.00%",
        "lists: none for 4 s, budget 3 s",
        "sending: p99 21 ms late, budget 20 ms",
    ]
    noted(run, FALLBACK, 1, 19)
    assert "lists: 75.00% fresh at the end, budget 80.00%" in overruns(budgets, run)


def test_a_fault_that_no_list_felt_is_no_test_of_it(tmp_path: Path) -> None:
    broken = overruns(read(tmp_path, GOOD + "not_fresh_at_least = 1"), a_run(fresh=100))
    assert broken == ["lists: 0 were not fresh, budget at least 1, or no fault was felt"]


def test_silence_lasts_from_the_first_list_to_the_run_s_end() -> None:
    run = Timeline()
    assert longest_silence_s(run) == 0
    noted(run, TRIGGER, 1, second=0)
    noted(run, FRESH, 1, second=9)
    assert longest_silence_s(run) == 0
    noted(run, TRIGGER, 1, second=12)
    assert longest_silence_s(run) == 3


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (GOOD.replace("p99_ms", "p99"), "p99"),
        (GOOD.replace("0.9", "1.5"), "fresh_share"),
        (GOOD.replace("[steady.lists]\nfresh_share = 0.9", ""), "lists"),
        (GOOD + "fresh_shar = 0.5", "fresh_shar"),
        (GOOD + "longest_silence_s = 0", "longest_silence_s"),
        (GOOD.replace("steady.lists", "steady.list"), "list"),
        (GOOD + "[other.lists]\nfresh_share = 0", r"other\.requests"),
        (GOOD.replace("steady", "calm"), "no budgets for scenario steady; it has calm"),
        ("", "it has none"),
        ("not toml", "budgets.toml"),
    ],
)
def test_a_bad_file_is_refused_with_one_line_that_names_the_place(text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(BadBudgets, match=named) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBudgets, match=r"none\.toml"):
        read_budgets(tmp_path / "none.toml", "steady")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadBudgets, match=r"binary\.toml"):
        read_budgets(tmp_path / "binary.toml", "steady")


@pytest.mark.parametrize("scenario", list(Scenario))
def test_the_budgets_of_every_scenario_name_requests_that_are_made(scenario: Scenario) -> None:
    sources = "".join((ROOT / "loadtest" / name).read_text() for name in ("shop.py", "page_views.py"))
    made = set(re.findall(r'"(retrieve [a-z ]+|trigger|interactions)"', sources))
    budgets = read_budgets(BUDGETS, scenario.value)
    assert {"trigger", "retrieve first page", "interactions"} <= set(budgets.requests) <= made
