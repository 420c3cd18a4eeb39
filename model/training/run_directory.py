"""A training run on disk: its log of steps, one JSON object a line, and its last checkpoint, each whole or not there.

steps.jsonl
checkpoint-00000420/  network.safetensors  optimiser.safetensors  best.safetensors (if any)  state.json
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from contracts.errors import BadConfig
from model.training.checkpoints import (
    Tensors,
    checkpoints_in,
    newest_checkpoint,
    save_checkpoint,
    save_tensors,
    sweep_checkpoints,
)

LOG_FILE = "steps.jsonl"
_NETWORK, _OPTIMISER, _BEST, _STATE = "network.safetensors", "optimiser.safetensors", "best.safetensors", "state.json"


@dataclass(slots=True)
class Place:
    """How far a run is.

    batches: of the epoch under way, done.  means: running means of NTP, LDPO and RSP.  best: the best look's value, the
    looks since, and its weights.  looked_steps: steps before the last look.
    """

    steps: int = 0
    epoch: int = 0
    batches: int = 0
    tokens: int = 0
    means: list[float] = field(default_factory=list)
    best: float | None = None
    looks_since_best: int = 0
    looked_steps: int = 0
    next_look: int = 0
    next_checkpoint: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that it takes to go on as if nothing had happened."""

    place: Place
    network: Tensors
    optimiser: Tensors
    best: Tensors


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """`identity` names what is being trained (data, recipe, seed): a checkpoint of something else is refused."""

    path: Path
    identity: str

    def begin(self, *, resume: bool, replace: bool) -> None:
        """Make room for a run, or keep what an interrupted one left.

        Raises BadConfig where it left a checkpoint and nobody said what to do with it, or one of another run.
        """
        newest = newest_checkpoint(self.path)
        if newest is None or (replace and not resume):
            self.clear()
        elif not resume:
            raise BadConfig(f"{self.path} holds an interrupted run: go on with --resume, or begin anew with --force")
        elif not self.resumable():
            raise BadConfig(
                f"{self.path} holds a run of another configuration, data or seed: begin anew with --force, not --resume"
            )
        self.path.mkdir(parents=True, exist_ok=True)

    def resumable(self) -> bool:
        """Whether an interrupted run of just this is there.  Raises BadConfig for a damaged checkpoint."""
        newest = newest_checkpoint(self.path)
        return newest is not None and self._state(newest)["identity"] == self.identity

    def save(self, checkpoint: Checkpoint) -> None:
        """Write, then rename, then drop the one before.  Raises OSError; what was there is then still there."""

        def fill(partial: Path) -> None:
            for file, tensors in (
                (_NETWORK, checkpoint.network),
                (_OPTIMISER, checkpoint.optimiser),
                (_BEST, checkpoint.best),
            ):
                if tensors:
                    save_tensors(tensors, partial / file)
            state = {"identity": self.identity, **asdict(checkpoint.place)}
            (partial / _STATE).write_text(json.dumps(state) + "\n")

        save_checkpoint(self.path, checkpoint.place.steps, fill)

    def newest(self) -> Checkpoint | None:
        """The last checkpoint, or None.  Raises BadConfig where it cannot be read."""
        path = newest_checkpoint(self.path)
        if path is None:
            return None
        state = self._state(path)
        state.pop("identity")
        try:
            best = load_file(path / _BEST) if (path / _BEST).exists() else {}
            return Checkpoint(
                Place(**state),  # type: ignore[arg-type]
                load_file(path / _NETWORK),
                load_file(path / _OPTIMISER),
                best,
            )
        # A file that is missing is a RuntimeError to safetensors.
        except (OSError, SafetensorError, RuntimeError, TypeError) as error:
            raise BadConfig(f"{path} is a damaged checkpoint ({error}); begin anew with --force") from error

    def clear(self) -> None:
        """Remove what earlier runs left: nothing else in the directory is touched."""
        self.done()
        (self.path / LOG_FILE).unlink(missing_ok=True)

    def done(self) -> None:
        """The bundle is written: checkpoints have had their day, and so has what a kill left of one; the log stays."""
        sweep_checkpoints(self.path)
        for path in checkpoints_in(self.path):
            shutil.rmtree(path)

    def _state(self, path: Path) -> dict[str, object]:
        try:
            content = json.loads((path / _STATE).read_bytes())
        except (OSError, ValueError) as error:
            raise BadConfig(f"{path} is a damaged checkpoint ({error}); begin anew with --force") from error
        if not isinstance(content, dict) or "identity" not in content:
            raise BadConfig(f"{path} is a damaged checkpoint (no identity); begin anew with --force")
        return content


class StepLog:
    """Appends lines to the log; every line is on its way to the disk before the next step begins."""

    def __init__(self, run: RunDirectory, steps_done: int) -> None:
        self._path = run.path / LOG_FILE
        _keep_steps(self._path, steps_done)

    def add(self, line: Mapping[str, object]) -> None:
        """One line."""
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _keep_steps(path: Path, steps: int) -> None:
    """Drop lines of steps that were made after the checkpoint: they will be made again."""
    if not path.exists():
        return
    kept = []
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            # The line that a kill cut short.
            continue
        if line["step"] <= steps:
            kept.append(text + "\n")
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(kept))
    os.replace(partial, path)


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> Tensors:
    """AdamW's state by the weights' names."""
    tensors: Tensors = {}
    for weight, state in optimiser.state.items():
        for key, value in state.items():
            tensors[f"{names[weight]}/{key}"] = value
    return tensors


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors, names: Mapping[Tensor, str]) -> None:
    """Put back what `optimiser_tensors` gave."""
    for weight, name in names.items():
        keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{name}/{key}" in tensors]
        if keys:
            optimiser.state[weight] = {key: tensors[f"{name}/{key}"].to(weight.device, copy=True) for key in keys}
