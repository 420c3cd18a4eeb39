"""Real processes: one that is killed goes on along the same curve, two together go along that of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from model.training.run_directory import LOG_FILE

SCRIPT = Path(__file__).with_name("training_process.py")
WITHIN_S = 240
Curve = list[dict[str, Any]]


def command(run: Path, *words: str, processes: int = 1, pace_s: float = 0.0) -> list[str]:
    start = [sys.executable]
    if processes > 1:
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*start, str(SCRIPT), str(run), str(pace_s), *words]


def environment() -> dict[str, str]:
    # One thread each, whatever the machine: sums then come out alike.
    return {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}


def finish(run: Path, *words: str, processes: int = 1) -> None:
    ended = subprocess.run(
        command(run, *words, processes=processes),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


def curve(run: Path) -> Curve:
    """The log without what a clock says."""
    lines = [json.loads(line) for line in (run / LOG_FILE).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("tokens_per_s", "left_s")} for line in lines]


def weights(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "weights.json").read_text())
    return content


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    finish(run)
    return run


def killed_in_the_middle(run: Path) -> int:
    """Start a run, kill it without a warning between two checkpoints; the steps it had logged."""
    process = subprocess.Popen(
        command(run, pace_s=0.2), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + WITHIN_S
        while True:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline, "it never got so far"
            checkpoints = [int(path.name.removeprefix("checkpoint-")) for path in run.glob("checkpoint-*")]
            logged = (run / LOG_FILE).read_text().count("\n") if (run / LOG_FILE).exists() else 0
            # Steps that no checkpoint holds: they have to be made again, and their lines must not stand there twice.
            if checkpoints and logged >= max(checkpoints) + 2:
                break
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return logged


def test_a_run_that_was_killed_goes_on_along_the_same_curve_to_the_same_weights(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    logged = killed_in_the_middle(run)
    assert 2 < logged < len(curve(whole)) - 2
    assert not (run / "weights.json").exists()
    finish(run, "--resume")
    assert curve(run) == curve(whole)
    assert weights(run) == weights(whole)


def test_what_was_interrupted_is_not_overwritten_unasked(tmp_path: Path) -> None:
    run = tmp_path / "run"
    killed_in_the_middle(run)
    ended = subprocess.run(
        command(run), env=environment(), capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert ended.returncode != 0
    assert "go on with --resume, or begin anew with --force" in ended.stderr


def test_two_processes_together_go_along_the_curve_of_one(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    finish(run, processes=2)
    assert (weights(run)["processes"], weights(whole)["processes"]) == (2, 1)
    together, one = curve(run), curve(whole)
    assert len(together) == len(one)
    assert len({line["epoch"] for line in one}) > 1
    for mine, theirs in zip(together, one, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            # float32, added up in another order.
            assert mine[key] == pytest.approx(value, rel=2e-3, abs=2e-4), (key, theirs["step"])
    for name, total in weights(whole)["sums"].items():
        assert weights(run)["sums"][name] == pytest.approx(total, rel=2e-3), name
