"""A training in processes of its own, on a toy log: what the tests of resuming and of several processes start.

python training_process.py RUN_DIRECTORY PACE_S [--resume]
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

from contracts.progress import Silent
from model.training.config import FitConfig, LossConfig, OptimiserConfig, SampleConfig
from model.training.devices import Devices, is_main_process
from model.training.fit import Fit
from model.training.run_directory import RunDirectory
from model.training.session_table import SessionTable

CONFIG = FitConfig(
    seed=5,
    checkpoint_tokens=1_500,
    optimiser=OptimiserConfig(tokens=12_000, batch_tokens=400, learning_rate=1e-2),
    losses=LossConfig(wrong_prefix_k=1, rsp_prefixes=6, random_candidates=2, hard_candidates=2),
    samples=SampleConfig(targets=3, row_sessions=3),
)


def toys() -> ModuleType:
    """The module beside this file; a script has no package to import it from."""
    spec = importlib.util.spec_from_file_location("toys", Path(__file__).with_name("toys.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["toys"] = module
    spec.loader.exec_module(module)
    return module


class Paced(Silent):
    """Takes its time over every step, so that a test can kill it in the middle."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def advance(self, units: int, note: str = "") -> None:  # noqa: ARG002
        """Wait."""
        time.sleep(self._seconds)


def main() -> None:
    """Train, and leave the weights' sums behind."""
    made, path = toys(), Path(sys.argv[1])
    toy = made.Toy()
    users = [made.random_timeline(toy, seed) for seed in range(24)]
    run = RunDirectory(path, "toy")
    if is_main_process():
        run.begin(resume="--resume" in sys.argv, replace=False)
    network = toy.network()
    fit = Fit(toy.fmt, toy.catalog, CONFIG, Paced(float(sys.argv[2])), run)
    fit(network, (SessionTable.of(users, toy.fmt, toy.catalog),))
    if is_main_process():
        sums = {name: float(weight.double().abs().sum()) for name, weight in network.state_dict().items()}
        (path / "weights.json").write_text(json.dumps({"processes": Devices("float32").processes, "sums": sums}))


if __name__ == "__main__":
    main()
