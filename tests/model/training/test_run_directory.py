"""A run on disk: a checkpoint is whole or not there, and nobody's run is taken for another's."""

from __future__ import annotations

import dataclasses
import json
import resource
from pathlib import Path

import pytest
import torch

from contracts.errors import BadConfig
from model.training.run_directory import (
    LOG_FILE,
    Checkpoint,
    Place,
    RunDirectory,
    StepLog,
    optimiser_tensors,
    restore_optimiser,
)


def checkpoint(steps: int, best: bool = False) -> Checkpoint:
    place = Place(steps=steps, epoch=1, batches=2, tokens=30 * steps, means=[1.0, 2.0, 3.0], best=0.5 if best else None)
    tensors = {"w": torch.full((2, 3), float(steps))}
    return Checkpoint(place, tensors, {"w/step": torch.tensor(float(steps))}, tensors if best else {})


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(tmp_path / "run", "mine")
    made.begin(resume=False, replace=False)
    return made


@pytest.mark.parametrize("best", [False, True])
def test_the_newest_checkpoint_is_read_back_and_older_ones_are_gone(run: RunDirectory, best: bool) -> None:
    assert run.newest() is None
    for steps in (4, 9):
        run.save(checkpoint(steps, best))
    found = run.newest()
    assert found is not None
    assert found.place == checkpoint(9, best).place
    assert torch.equal(found.network["w"], torch.full((2, 3), 9.0))
    assert found.optimiser["w/step"] == 9.0
    assert set(found.best) == ({"w"} if best else set())
    assert [path.name for path in run.path.iterdir()] == ["checkpoint-00000009"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(run: RunDirectory) -> None:
    run.save(checkpoint(4))
    # A file where the directory would be: the disk refuses the rename.
    (run.path / "checkpoint-00000009").write_text("in the way")
    with pytest.raises(OSError, match="checkpoint"):
        run.save(checkpoint(9))
    (run.path / "checkpoint-00000009").unlink()
    found = run.newest()
    assert found is not None
    assert found.place.steps == 4
    assert [path.name for path in run.path.iterdir()] == ["checkpoint-00000004"]


def test_an_interrupted_run_is_neither_forgotten_nor_taken_for_another_s(run: RunDirectory) -> None:
    run.save(checkpoint(4))
    with pytest.raises(BadConfig, match="go on with --resume, or begin anew with --force"):
        run.begin(resume=False, replace=False)
    with pytest.raises(BadConfig, match="another configuration, data or seed"):
        RunDirectory(run.path, "yours").begin(resume=True, replace=False)
    run.begin(resume=True, replace=False)
    assert run.newest() is not None
    run.begin(resume=False, replace=True)
    assert run.newest() is None


def test_resuming_where_nothing_was_interrupted_is_a_beginning(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run", "mine")
    run.begin(resume=True, replace=False)
    assert run.newest() is None


def test_a_damaged_checkpoint_is_refused_in_one_line(run: RunDirectory) -> None:
    run.save(checkpoint(4))
    (run.path / "checkpoint-00000004" / "network.safetensors").write_bytes(b"\x00")
    with pytest.raises(BadConfig, match="damaged checkpoint"):
        run.newest()
    (run.path / "checkpoint-00000004" / "network.safetensors").unlink()
    with pytest.raises(BadConfig, match="damaged checkpoint"):
        run.newest()
    (run.path / "checkpoint-00000004" / "state.json").write_text("{")
    with pytest.raises(BadConfig, match="damaged checkpoint"):
        run.begin(resume=True, replace=False)


def test_the_log_forgets_steps_that_will_be_made_again(run: RunDirectory) -> None:
    log = StepLog(run, 0)
    for step in range(1, 6):
        log.add({"step": step})
    with (run.path / LOG_FILE).open("a") as file:
        file.write('{"step": 6, "los')
    StepLog(run, 3).add({"step": 4, "again": True})
    lines = [json.loads(line) for line in (run.path / LOG_FILE).read_text().splitlines()]
    assert lines == [{"step": 1}, {"step": 2}, {"step": 3}, {"step": 4, "again": True}]


def test_an_optimiser_goes_on_as_if_nothing_had_happened() -> None:
    def weights_and_optimiser() -> tuple[torch.nn.Linear, torch.optim.AdamW]:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        return layer, torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)

    def steps(layer: torch.nn.Linear, optimiser: torch.optim.AdamW, count: int) -> None:
        for number in range(count):
            optimiser.zero_grad()
            layer(torch.full((1, 3), 1.0 + number)).square().sum().backward()
            optimiser.step()

    layer, optimiser = weights_and_optimiser()
    steps(layer, optimiser, 3)
    other, restored = weights_and_optimiser()
    other.load_state_dict(layer.state_dict())
    kept = optimiser_tensors(optimiser, {weight: name for name, weight in layer.named_parameters()})
    restore_optimiser(restored, kept, {weight: name for name, weight in other.named_parameters()})
    for each in ((layer, optimiser), (other, restored)):
        steps(*each, 2)
    for name, weight in layer.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name])


def test_a_full_disk_is_an_oserror_and_leaves_the_checkpoint_before(run: RunDirectory) -> None:
    run.save(checkpoint(4))
    large = dataclasses.replace(checkpoint(9), network={"w": torch.zeros(100_000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="checkpoint-00000009"):
            run.save(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in run.path.iterdir()] == ["checkpoint-00000004"]


def test_what_a_kill_left_of_a_checkpoint_goes_with_the_others(run: RunDirectory) -> None:
    run.save(checkpoint(4))
    (run.path / ".checkpoint-00000009.partial").mkdir()
    run.done()
    assert list(run.path.iterdir()) == []


def test_only_a_run_of_the_same_is_resumable(run: RunDirectory) -> None:
    assert not run.resumable()
    run.save(checkpoint(4))
    assert run.resumable()
    assert not RunDirectory(run.path, "another").resumable()
