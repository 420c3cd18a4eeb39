"""What is installed, from where, and how much each light process drags in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
WITHIN_S = 60


def said(code: str, directory: Path) -> list[str]:
    """The lines that an isolated interpreter prints in another directory."""
    command = [sys.executable, "-I", "-c", code]
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=WITHIN_S, check=True)
    return ended.stdout.splitlines()


def test_the_three_packages_come_from_this_distribution(tmp_path: Path) -> None:
    code = "import contracts, model, services\nfor one in (contracts, model, services): print(one.__file__)"
    places = [Path(line) for line in said(code, tmp_path)]
    assert places == [REPOSITORY / name / "__init__.py" for name in ("contracts", "model", "services")]
    told = said("from importlib.metadata import packages_distributions as of; print(of().get('services'))", tmp_path)
    assert told in (["['rankgr']"], ["None"])


@pytest.mark.parametrize(
    ("process", "unwanted"),
    [
        # The redis library brings opentelemetry's SDK along: together a fifth of a second of a start.
        ("retrieval", "torch model numpy pyarrow redis opentelemetry.sdk kafka httpx rich contracts.messages"),
        ("trigger", "torch model numpy pyarrow redis opentelemetry.sdk kafka httpx rich"),
        ("history", "torch model numpy pyarrow"),
        ("precompute", "torch sklearn transformers"),
        ("console", "torch sklearn transformers kafka"),
        ("samples", "torch numpy pyarrow kafka httpx"),
    ],
)
def test_a_light_process_loads_nothing_it_does_not_need(process: str, unwanted: str, tmp_path: Path) -> None:
    code = f"import sys, services.{process}.main\nprint(*sorted(set({unwanted.split()}) & set(sys.modules)))"
    assert said(code, tmp_path) == [""]


def test_the_command_line_s_help_loads_no_torch(tmp_path: Path) -> None:
    code = "import sys, services.cli\nprint(*sorted({'torch', 'numpy', 'pyarrow'} & set(sys.modules)))"
    assert said(code, tmp_path) == [""]
