"""Real processes: killed anywhere it learns the same as undisturbed; two together learn what one does."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("learning_process.py")
WITHIN_S = 240
SAMPLES = 150


def command(directory: Path, processes: int = 1, pace_s: float = 0.0) -> list[str]:
    start = [sys.executable]
    if processes > 1:
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*start, str(SCRIPT), str(directory), str(SAMPLES), str(pace_s)]


def environment() -> dict[str, str]:
    # One thread each, whatever the machine: sums then come out alike.
    return {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}


def finish(directory: Path, processes: int = 1) -> dict[str, Any]:
    ended = subprocess.run(
        command(directory, processes),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    content: dict[str, Any] = json.loads((directory / "weights.json").read_text())
    return content


def steps(directory: Path) -> list[dict[str, Any]]:
    """The log; of a step that was made again the last line."""
    lines: dict[int, dict[str, Any]] = {}
    path = directory / "learnt.jsonl"
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            # The line that a kill cut short.
            continue
        earlier = lines.get(line["step"])
        # Made again, it was the same step.
        assert earlier is None or earlier == line
        lines[line["step"]] = line
    return [lines[step] for step in sorted(lines)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    directory = tmp_path_factory.mktemp("whole")
    finish(directory)
    return directory


def kill_after(directory: Path, more_steps: int) -> None:
    """Start it, and kill it without a warning once it has made so many more steps."""
    wanted = len(steps(directory)) + more_steps
    process = subprocess.Popen(
        command(directory, pace_s=0.01), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + WITHIN_S
        while len(steps(directory)) < wanted:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline, "it never got so far"
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()


@pytest.mark.heavy
def test_killed_again_and_again_it_learns_what_an_undisturbed_one_does(whole: Path, tmp_path: Path) -> None:
    chance = random.Random(4)
    for _ in range(3):
        kill_after(tmp_path, chance.randint(1, 6))
    assert not (tmp_path / "weights.json").exists()
    found = finish(tmp_path)
    assert steps(tmp_path) == steps(whole)
    assert found == json.loads((whole / "weights.json").read_text())
    learnt = [name for step in steps(whole) for name in step["new"]]
    assert len(set(learnt)) == len(learnt) > 100


@pytest.mark.heavy
def test_two_processes_together_learn_what_one_does(whole: Path, tmp_path: Path) -> None:
    together = finish(tmp_path, processes=2)
    alone = json.loads((whole / "weights.json").read_text())
    assert (together["processes"], alone["processes"]) == (2, 1)
    assert [step["new"] for step in steps(tmp_path)] == [step["new"] for step in steps(whole)]
    for mine, theirs in zip(steps(tmp_path), steps(whole), strict=True):
        for name, value in theirs["parts"].items():
            # float32, added up in another order.
            assert mine["parts"][name] == pytest.approx(value, rel=2e-3, abs=2e-4), (name, theirs["step"])
    for name, total in alone["sums"].items():
        assert together["sums"][name] == pytest.approx(total, rel=2e-3), name
