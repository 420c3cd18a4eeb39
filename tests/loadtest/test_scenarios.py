"""What each scenario is made of, without a network: one user class per file, with budgets that name what it sends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.budgets import read_budgets
from loadtest.run import Plan, Scenario
from loadtest.stack import OwnStack

ROOT = Path(__file__).parents[2]
STACK = OwnStack({"trigger": "http://127.0.0.1:1", "retrieval": "http://127.0.0.1:2"}, "127.0.0.1:3")


def plan(scenario: Scenario, workers: int = 0) -> list[str]:
    return Plan(scenario, shoppers=30, seconds=60, workers=workers, options={"--report": "out"}).command(STACK)


@pytest.mark.parametrize("scenario", list(Scenario))
def test_every_scenario_is_a_locust_file_with_one_user_class_and_budgets_of_its_own(scenario: Scenario) -> None:
    file = plan(scenario)[4]
    listed = subprocess.run(
        [sys.executable, "-m", "locust", "-f", file, "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (name,) = [line.strip() for line in listed.stdout.splitlines() if line.startswith("    ")]
    assert name.lower() == scenario.value.replace("-", "")
    assert f'scenario: ClassVar[str] = "{scenario.value}"' in (ROOT / file).read_text()
    assert read_budgets(ROOT / "loadtest" / "budgets.toml", scenario.value).requests


def test_a_run_tells_locust_what_it_is_and_where() -> None:
    told = plan(Scenario.STEADY)
    pairs = dict(zip(told[7::2], told[8::2], strict=True))
    assert pairs["--users"] == "30"
    assert pairs["--run-time"] == "60s"
    assert pairs["--trigger-url"] == "http://127.0.0.1:1"
    assert pairs["--report"] == "out"
    assert "--processes" not in pairs
    assert "--slow-control" not in pairs


def test_workers_meet_their_master_on_a_port_of_their_own() -> None:
    first, second = plan(Scenario.STEADY, workers=2), plan(Scenario.STEADY, workers=2)
    assert first[first.index("--processes") + 1] == "2"
    assert first[first.index("--master-port") + 1] == first[first.index("--master-bind-port") + 1]
    assert first[first.index("--master-port") + 1] != second[second.index("--master-port") + 1]


def test_a_trace_is_sent_by_one_user_per_process() -> None:
    for workers, users in ((0, "1"), (1, "1"), (3, "3")):
        told = plan(Scenario.REPLAY, workers)
        assert told[told.index("--users") + 1] == users


def test_the_slow_proxy_s_control_is_told_where_it_is_needed() -> None:
    told = plan(Scenario.SLOW_DEPENDENCY)
    assert told[told.index("--slow-control") + 1] == "127.0.0.1:3"
