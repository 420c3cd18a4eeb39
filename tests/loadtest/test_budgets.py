"""Budgets are read strictly and kept or broken to the number."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.budgets import BadBudgets, Budgets, Measured, overruns, read_budgets

ROOT = Path(__file__).parents[2]
GOOD = """
[requests.trigger]
p99_ms = 100
failure_share = 0.01
[lists]
fresh_share = 0.9
"""


def row(name: str, count: int, failures: int = 0, p99_ms: float = 10.0) -> Measured:
    return Measured(name, count, failures, per_second=1.0, p50_ms=1.0, p95_ms=5.0, p99_ms=p99_ms)


@pytest.fixture
def budgets(tmp_path: Path) -> Budgets:
    path = tmp_path / "budgets.toml"
    path.write_text(GOOD)
    return read_budgets(path)


def test_what_lies_on_a_budget_keeps_it(budgets: Budgets) -> None:
    requests = {"trigger": row("trigger", 100, failures=1, p99_ms=100)}
    lists = {"fresh": row("fresh", 90), "stale": row("stale", 10)}
    assert overruns(budgets, requests, lists) == []


def test_each_broken_budget_is_one_line(budgets: Budgets) -> None:
    requests = {"trigger": row("trigger", 100, failures=2, p99_ms=101)}
    lists = {"fresh": row("fresh", 89), "fallback": row("fallback", 11)}
    late, failed, unfresh = overruns(budgets, requests, lists)
    assert late == "trigger: p99 101 ms, budget 100 ms"
    assert failed == "trigger: 2 of 100 failed, budget 1.00%"
    assert unfresh == "lists: 89 of 100 fresh, budget 90.00%"


def test_a_run_without_requests_keeps_no_budget(budgets: Budgets) -> None:
    assert len(overruns(budgets, {}, {})) == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (GOOD.replace("p99_ms", "p99"), "p99"),
        (GOOD.replace("0.9", "1.5"), "fresh_share"),
        (GOOD.replace("[lists]\nfresh_share = 0.9", ""), "lists"),
        ("not toml", "budgets.toml"),
    ],
)
def test_a_bad_file_is_refused_with_one_line_that_names_the_place(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text(text)
    with pytest.raises(BadBudgets, match=named) as refused:
        read_budgets(path)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBudgets, match=r"none\.toml"):
        read_budgets(tmp_path / "none.toml")


def test_the_budgets_of_the_short_run_name_requests_that_are_made() -> None:
    made = (ROOT / "loadtest" / "locustfile.py").read_text()
    for name in read_budgets(ROOT / "loadtest" / "budgets.toml").requests:
        assert f'"{name}"' in made
