"""`rankgr simulate drift`: whoever learns from the stream comes back after the change, whoever does not stays down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .command_line import run_process

pytestmark = [pytest.mark.heavy]


def check(content: dict[str, Any]) -> None:
    """Something was lost, and updates brought back more of it than time alone."""
    outcome = content["outcome"]
    assert outcome["before"]["value"] > outcome["fallen"]["value"]
    assert outcome["ceiling"]["value"] > outcome["fallen"]["value"]
    shares = {(one["arm"], one["updates"]): one["of_ceiling"]["value"] for one in outcome["recovered"]}
    assert shares["updates", 3] > shares["frozen", 3]
    assert {one["models"] for one in outcome["rates"] if one["arm"] == "frozen"} == {1}


def test_in_process_and_its_files(tmp_path: Path) -> None:
    words = ("simulate", "drift", "--quick", "--in-process", "--json", "--cache", tmp_path / "kept")
    done = run_process(*words, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    content = json.loads(done.out)
    check(content)
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == content
    assert "after 3 updates" in (tmp_path / "out" / "table.md").read_text()
    assert (tmp_path / "out" / "drift.svg").read_text().startswith("<?xml")


@pytest.mark.alone
@pytest.mark.journey
@pytest.mark.redis
def test_on_real_processes(tmp_path: Path) -> None:
    done = run_process("simulate", "drift", "--quick", "--json", "--cache", tmp_path / "kept")
    assert done.code == 0, done.err
    content = json.loads(done.out)
    check(content)
    fresh = [one["fresh"] for one in content["outcome"]["rates"]]
    assert min(fresh) > 0.8, "lists were not computed in time: this says little about learning"
