"""`python -m loadtest.run` for real: a table, a verdict, a report, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.runtime.embedded_redis import free_port

ROOT = Path(__file__).parents[2]
REFUSED, FAILED = 3, 4
FLASH_S = 18
# Open to any machine: these tests are about what happens, not about how fast.
LENIENT = """
[flash.requests."trigger"]
p99_ms = 60_000
failure_share = 0.0
refused_share = 1.0
[flash.requests."retrieve first page"]
p99_ms = 60_000
failure_share = 0.0
[flash.requests."interactions"]
p99_ms = 60_000
failure_share = 0.0
refused_share = 1.0
[flash.lists]
fresh_share = 0.0
longest_silence_s = 15
"""


def load(*words: object, within_s: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtest.run", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=within_s)


def locust(file: str, *words: object) -> subprocess.CompletedProcess[str]:
    nowhere = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "locust", "-f", f"loadtest/{file}", "--headless", "--run-time", "60s"]
    told = ["--trigger-url", nowhere, "--retrieval-url", nowhere, *map(str, words)]
    return subprocess.run([*command, *told], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def rows_of(said: str) -> dict[str, list[str]]:
    """The table's lines by name; the first cell is empty."""
    found = [line.split("|") for line in said.splitlines() if line.startswith("|")]
    return {cells[1].strip(): cells for cells in found if len(cells) == 10}


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


def judged(ended: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """The rows of a run that came to a verdict; 1 is one too: a busy machine's times are not these tests' business."""
    assert ended.returncode in (0, 1), ended.stderr
    assert ("every budget kept" in ended.stdout) == (ended.returncode == 0), ended.stdout + ended.stderr
    rows = rows_of(ended.stdout)
    # A stack that does not come up ends with 1 as well.
    assert rows, ended.stdout + ended.stderr
    return rows


@pytest.mark.heavy
@pytest.mark.journey
@pytest.mark.redis
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_short_run_measures_every_request_and_leaves_nothing_running(
    micro_bundle: Path, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "report"
    # The report's path is in the command line of every process of locust.
    ended = load("--bundle", micro_bundle, "--seconds", 15, "--shoppers", 4, "--workers", workers, "--report", out)
    rows = judged(ended)
    for name in ("trigger", "retrieve first page", "interactions", "list: fresh"):
        assert int(rows[name][2]) > 0
        assert int(rows[name][FAILED]) == 0, ended.stdout
    # Also with workers nothing is counted twice or lost: every page view has one of each.
    assert rows["trigger"][2] == rows["retrieve first page"][2]
    assert f"--workers {workers}" in (out / "report.md").read_text()
    assert (out / "report.html").stat().st_size > 0
    assert commands_naming(micro_bundle) + commands_naming(out) == []


@pytest.mark.heavy
@pytest.mark.journey
@pytest.mark.redis
def test_a_flash_crowd_is_refused_and_pages_still_come(micro_bundle: Path, tmp_path: Path) -> None:
    budgets = tmp_path / "budgets.toml"
    budgets.write_text(LENIENT)
    told = ["--scenario", "flash", "--seconds", FLASH_S, "--shoppers", 4, "--crowd", 12, "--budgets", budgets]
    rows = judged(ended := load("--bundle", micro_bundle, *told, "--report", tmp_path))
    assert "budget broken" not in ended.stdout
    assert int(rows["retrieve first page"][2]) > 0
    for name in ("retrieve first page", "retrieve next page", "trigger", "interactions"):
        assert int(rows[name][FAILED]) == 0, ended.stdout
    assert int(rows["retrieve first page"][REFUSED]) == 0
    assert "crowd" in (tmp_path / "requests.svg").read_text()


@pytest.mark.heavy
@pytest.mark.journey
@pytest.mark.redis
@pytest.mark.parametrize("slow", ["cache", "stream"])
def test_pages_come_while_a_server_behind_the_stack_is_slow(micro_bundle: Path, slow: str) -> None:
    told = ["--scenario", "slow-dependency", "--slow", slow, "--slow-by-ms", 400, "--seconds", 18, "--shoppers", 4]
    rows = judged(ended := load("--bundle", micro_bundle, *told))
    assert int(rows["retrieve first page"][FAILED]) == 0, ended.stdout
    assert sum(int(rows[name][2]) for name in rows if name in ("list: stale", "list: fallback")) > 0, ended.stdout
    assert int(rows["list: fresh"][2]) > 0


@pytest.mark.heavy
@pytest.mark.journey
@pytest.mark.redis
def test_a_log_is_replayed_row_by_row_by_two_processes(micro_bundle: Path, tmp_path: Path) -> None:
    trace, users, steps = tmp_path / "trace.parquet", 12, 6
    columns: dict[str, list[object]] = {
        name: [] for name in ("timestamp", "user_id", "action_type", "item_id", "device")
    }
    for step in range(steps):
        for user in range(users):
            opens = step in (0, steps - 1)
            row = (1_000 + 60 * step, user, "filter selection" if opens else "interaction item image")
            for name, value in zip(columns, (*row, -1 if opens else user * 10 + step, "mobile"), strict=True):
                columns[name].append(value)
    pq.write_table(pa.table(columns), trace)
    told = ["--scenario", "replay", "--trace", trace, "--compress", 60, "--seconds", 12, "--workers", 2]
    rows = judged(ended := load("--bundle", micro_bundle, *told))
    assert int(rows["sent late"][2]) == users * steps, ended.stdout
    assert int(rows["trigger"][2]) == int(rows["retrieve first page"][2]) == users * 2
    # Four clicks of each, and what was seen on two pages.
    assert int(rows["interactions"][2]) == users * steps
    assert int(rows["list: fresh"][2]) > 0


@pytest.mark.journey
def test_a_stack_that_does_not_come_up_is_told_with_what_it_said(tmp_path: Path) -> None:
    ended = load("--bundle", tmp_path / "none", "--seconds", 1)
    assert ended.returncode == 1
    assert "the stack did not come up" in ended.stderr
    assert "is not a bundle" in ended.stderr


@pytest.mark.journey
@pytest.mark.parametrize(
    ("file", "options", "named"),
    [
        ("locustfile.py", ("--budgets", "{}/budgets.toml"), "budgets.toml"),
        ("scenarios/replay.py", ("--trace", "{}/none.parquet"), "none.parquet"),
        ("scenarios/replay.py", ("--trace", "{}/none.parquet", "--scale", "0"), "more than 0"),
        ("scenarios/slow_dependency.py", (), "no slow proxy"),
        ("scenarios/slow_dependency.py", ("--slow-control", "127.0.0.1:1"), "no slow proxy"),
    ],
)
def test_what_is_wrong_ends_locust_before_anybody_waits(
    file: str, options: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    (tmp_path / "budgets.toml").write_text("[steady]\n")
    ended = locust(file, *(option.format(tmp_path) for option in options))
    assert ended.returncode != 0
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("load test: ")]
    assert named in line


@pytest.mark.journey
def test_a_replay_without_a_log_and_a_scenario_that_is_none_are_wrong_use() -> None:
    for words, named in ((["--scenario", "replay"], "--trace"), (["--scenario", "calm"], "calm")):
        ended = load(*words)
        assert ended.returncode == 2
        assert named in ended.stderr
