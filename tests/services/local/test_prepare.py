"""The bundle of a local stack: built once, reused while nothing changed, built again when something did."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from contracts.progress import Silent
from model.data.log import Split
from model.data.synthetic import make_marketplace
from services.local.demo import USERS, choose_users
from services.local.prepare import prepare


@dataclass
class Stages(Silent):
    """Remembers which stages were begun."""

    begun: list[str] = field(default_factory=list)

    def begin(self, stage: str, total: int) -> None:
        assert total > 0
        self.begun.append(stage)


def test_an_equal_bundle_is_reused_and_another_one_is_built_over_it(micro_data: Path, tmp_path: Path) -> None:
    data = shutil.copytree(micro_data, tmp_path / "data")
    first = prepare(tmp_path / "state", data, "micro", Silent())
    assert not first.reused
    stages = Stages()
    again = prepare(tmp_path / "state", data, "micro", stages)
    assert again.reused
    assert (again.bundle, again.manifest, stages.begun) == (first.bundle, first.manifest, [])

    # A manifest that says nothing we can read counts as no bundle.
    manifest = first.bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seed": 0', '"seed": 1'))
    rebuilt = prepare(tmp_path / "state", data, "micro", stages)
    assert not rebuilt.reused
    assert "evaluating" in stages.begun
    assert rebuilt.manifest.catalog_version == first.manifest.catalog_version


def test_a_start_on_a_bundle_that_is_there_loads_neither_scikit_learn_nor_torch_s_compiler(
    micro_data: Path, micro_bundle: Path, tmp_path: Path
) -> None:
    # Each of them takes seconds, of which `make demo` has twenty.
    shutil.copytree(micro_bundle, tmp_path / "bundles" / micro_data.name)
    code = f"""
import sys
from pathlib import Path
from contracts.progress import Silent
from services.local.prepare import prepare
from services.local.stack import read_bundle
prepared = prepare(Path({str(tmp_path)!r}), Path({str(micro_data)!r}), "micro", Silent())
read_bundle(prepared.bundle).network()
print(prepared.reused, *sorted({{"sklearn", "torch._dynamo"}} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "True\n"


def test_the_users_of_the_demo_have_something_to_go_by() -> None:
    users = choose_users(make_marketplace(users=60, items=80, seed=0), Level.CLICK)
    assert len({user.user for user in users}) == USERS
    assert all(len(user.items) for user in users)


def test_data_without_held_out_users_is_refused() -> None:
    data = make_marketplace(users=60, items=80, seed=0)
    trained_on = replace(data.log, split=np.full_like(data.log.split, Split.TRAIN))
    with pytest.raises(BadDataSet, match="no user has a test request"):
        choose_users(replace(data, log=trained_on), Level.CLICK)
