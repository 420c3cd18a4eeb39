"""What all commands share: help, version, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.app import app

from .command_line import Run, run_process

COMMANDS = (
    "",
    "data",
    "data describe",
    "data synth",
    "build",
    "train",
    "sid",
    "sid report",
    "recommend",
    "eval",
    "baseline",
    "bundles",
    "bundles list",
    "bundles show",
    "bundles promote",
    "bundles rollback",
    "bundles diff",
    "compare",
    "misses",
    "ablate",
    "behaviour-order",
    "serve",
    "up",
    "demo",
    "simulate",
    "simulate drift",
    "keys",
    "keys new",
    "keys list",
    "keys revoke",
    "items",
    "items add",
    "items retire",
    "items hide",
    "items show",
    "items list",
    "bench",
    "bench engine",
    "topics",
    "topics create",
    "dead-letters",
    "dead-letters list",
    "dead-letters replay",
    "bench online",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert "Usage:" in shown.stdout


def test_the_list_of_commands_in_this_file_is_complete() -> None:
    named = {group.name for group in app.registered_groups} | {one.name for one in app.registered_commands}
    assert named == {command.split()[0] for command in COMMANDS if command}


def test_the_version_is_the_distribution_s(rankgr: Run) -> None:
    shown = rankgr("--version")
    assert (shown.code, shown.out) == (0, f"rankgr {version('rankgr')}\n")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["data", "describe"],
        ["data", "synth"],
        ["data", "synth", "--out", "x", "--users", "0"],
        ["data", "synth", "--out", "x", "--users", "many"],
        ["data", "synth", "--out", "x", "--items", "19"],
        ["data", "synth", "--out", "x", "--seed", str(2**32)],
        ["build", "data"],
        ["build", "data", "--out", "x", "--preset", "enormous"],
        ["build", "data", "--out", "x", "--seed", "-1"],
        ["train", "data", "--out", "x"],
        ["train", "data", "--config", "x"],
        ["sid", "report"],
        ["recommend", "bundle"],
        ["recommend", "bundle", "--items", "1,x"],
        ["recommend", "bundle", "--items", "1,,2"],
        ["recommend", "bundle", "--items", "1_0"],
        ["recommend", "bundle", "--items", "9223372036854775808"],
        ["recommend", "bundle", "--items", "1", "--exclude", "²"],
        ["recommend", "bundle", "--items", "1", "--behaviors", "click,click"],
        ["recommend", "bundle", "--items", "1", "--behaviors", "stared"],
        ["recommend", "bundle", "--items", "1", "--limit", "0"],
        ["recommend", "bundle", "--items", "1", "--host", "abacus"],
        ["eval", "bundle"],
        ["eval", "bundle", "data", "--ks", "0"],
        ["eval", "bundle", "data", "--ks", ""],
        ["eval", "bundle", "data", "--split", "holdout"],
        ["serve"],
        ["serve", "coffee"],
        ["up", "--preset", "enormous"],
        ["up", "--log-level", "loud"],
        ["demo", "--preset", "enormous"],
        ["demo", "--log-level", "loud"],
    ],
)
def test_wrong_use_exits_2_with_nothing_on_stdout(rankgr: Run, words: list[str]) -> None:
    refused = rankgr(*words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err


def test_a_failure_is_one_line_and_exit_1_from_the_module_and_from_the_script(tmp_path: Path) -> None:
    assert "no directory" in run_process("data", "describe", tmp_path / "nowhere", "--json").complaint()


def test_the_console_script_is_this_command_line(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("rankgr")
    first, second = script.read_text().splitlines()[0], script.read_text()
    assert first.startswith("#!")
    assert "from services.cli import main" in second
    assert run_process("data", "describe", tmp_path).code == 1


def test_where_a_package_is_missing_a_command_that_needs_it_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text('raise ModuleNotFoundError("No module named torch", name="torch")\n')
    command = [sys.executable, "-m", "services.cli", "bundles", "promote", str(tmp_path)]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"PYTHONPATH": str(tmp_path)}
    )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "needs the package torch, which is not installed here" in line
