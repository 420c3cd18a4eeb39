"""Learning from a stream of toy samples in processes of its own: what the tests of kills and of several start.

python learning_process.py DIRECTORY SAMPLES PACE_S

Appends a JSON line per step to DIRECTORY/learnt.jsonl; leaves DIRECTORY/weights.json when all is learnt.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from contracts.messages import SessionSampled
from model.training.incremental.checkpoint import StreamCheckpoints
from model.training.incremental.config import HeldOutConfig, IncrementalConfig, ReplayConfig
from model.training.incremental.handed_out import handed_out
from model.training.incremental.learner import Learner
from model.training.incremental.stream_sample import StreamSample

CONFIG = IncrementalConfig(
    seed=2,
    batch_samples=8,
    learning_rate=5e-3,
    held_out=HeldOutConfig(share=0.1, hold_ms=600_000),
    replay=ReplayConfig(share=0.25, reservoir=12),
)
KEEP_EVERY = 13


def module(name: str, path: Path) -> ModuleType:
    """A module beside this file; a script has no package to import it from."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


def learner_in(directory: Path, toy: Any) -> tuple[Learner, int]:  # noqa: ANN401 - loaded by its path
    """As it was kept, or a new one; and the number of the next sample."""
    found = StreamCheckpoints(directory, CONFIG).newest()
    network = toy.network()
    if found is None:
        return Learner(network, toy.fmt, toy.catalog, CONFIG), 0
    network.load_state_dict(found.network)
    learner = Learner(network, toy.fmt, toy.catalog, CONFIG, place=found.place, intake=found.intake)
    learner.restore_optimiser(found.optimiser)
    return learner, int(found.positions["0"])


def learn(learner: Learner, sample: StreamSample, log: Path) -> None:
    """One sample; a line for each step of the main process."""
    names: list[list[str]] = []
    reports = learner.feed(sample, lambda new: names.append([one.sample_id for one in new]))
    if learner.devices.main:
        with log.open("a") as file:
            for report, new in zip(reports, names, strict=True):
                file.write(json.dumps({"step": learner.place.steps, "new": new, "parts": report.parts}) + "\n")


def main() -> None:
    """Learn."""
    directory, count, pace_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    here = Path(__file__).parent
    toy = module("toys", here.parent / "toys.py").Toy()
    sampled = module("sampled", here / "sampled.py")
    kept = StreamCheckpoints(directory / "state", CONFIG)
    learner, first = learner_in(directory / "state", toy)

    def portions() -> Iterator[bytes]:
        for number in range(first, count):
            yield sampled.message(number).model_dump_json().encode()

    for number, portion in enumerate(handed_out(learner.devices, portions()), start=first + 1):
        learn(learner, StreamSample.of(SessionSampled.model_validate_json(portion)), directory / "learnt.jsonl")
        if learner.devices.main and number % KEEP_EVERY == 0:
            kept.save(learner, {"0": str(number)}, {})
        time.sleep(pace_s)
    if learner.devices.main:
        state = learner.network.state_dict()
        sums = {name: float(weight.double().abs().sum()) for name, weight in state.items()}
        digest = hashlib.sha256(b"".join(weight.numpy().tobytes() for weight in state.values())).hexdigest()
        content = {"processes": learner.devices.processes, "sums": sums, "sha256": digest}
        (directory / "weights.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
