"""`python -m loadtest.run` for real: a table, a verdict, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.runtime.embedded_redis import free_port

ROOT = Path(__file__).parents[2]


def load(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtest.run", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)


def commands_naming(path: Path) -> list[str]:
    """Command lines of running processes that name this path."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(path) in words:
            found.append(words)
    return found


@pytest.mark.heavy
@pytest.mark.journey
@pytest.mark.redis
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_short_run_measures_every_request_and_leaves_nothing_running(micro_bundle: Path) -> None:
    ended = load("--bundle", micro_bundle, "--seconds", 8, "--shoppers", 4)
    # 1 is a verdict too: what a busy machine does to the times is not this test's business.
    assert ended.returncode in (0, 1), ended.stderr
    assert ("every budget kept" in ended.stdout) == (ended.returncode == 0)
    rows = {cells[1].strip(): cells for line in ended.stdout.splitlines() if len(cells := line.split("|")) == 9}
    for name in ("trigger", "retrieve first page", "interactions", "list: fresh"):
        assert int(rows[name][2]) > 0
        assert int(rows[name][3]) == 0, ended.stdout
    assert commands_naming(micro_bundle) == []


@pytest.mark.journey
def test_a_stack_that_does_not_come_up_is_told_with_what_it_said(tmp_path: Path) -> None:
    ended = load("--bundle", tmp_path / "none", "--seconds", 1)
    assert ended.returncode == 1
    assert "the stack did not come up" in ended.stderr
    assert "is not a bundle" in ended.stderr


@pytest.mark.journey
def test_bad_budgets_end_locust_before_anybody_waits(tmp_path: Path) -> None:
    budgets = tmp_path / "budgets.toml"
    budgets.write_text("[requests]\n")
    nowhere = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless", "--run-time", "60s"]
    told = ["--budgets", str(budgets), "--trigger-url", nowhere, "--retrieval-url", nowhere]
    ended = subprocess.run([*command, *told], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode != 0
    assert "load test: " in ended.stderr
    assert "budgets.toml" in ended.stderr
