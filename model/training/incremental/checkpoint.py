"""All that it takes to go on learning as if nothing had happened, as one directory that appears whole.

checkpoint-00000042/  network.safetensors  optimiser.safetensors  samples.msgpack  state.json
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from contracts.errors import BadConfig
from model.training.checkpoints import Tensors, newest_checkpoint, save_checkpoint, save_tensors, sweep_checkpoints
from model.training.incremental.config import IncrementalConfig
from model.training.incremental.intake import Intake
from model.training.incremental.learner import Learner, LearnerPlace

_NETWORK, _OPTIMISER, _SAMPLES, _STATE = "network.safetensors", "optimiser.safetensors", "samples.msgpack", "state.json"

Told = dict[str, str | int | None]
"""What whoever feeds the learner keeps with it."""


@dataclass(frozen=True, slots=True)
class StreamCheckpoint:
    """`positions`: where in the stream the next sample is, part by part, in the words of whoever reads it."""

    place: LearnerPlace
    network: Tensors
    optimiser: Tensors
    intake: Intake
    positions: dict[str, str]
    told: Told


@dataclass(slots=True)
class StreamCheckpoints:
    """Below one directory, which one trainer alone writes to."""

    directory: Path
    config: IncrementalConfig
    _number: int = field(default=0, init=False)

    def save(self, learner: Learner, positions: dict[str, str], told: Told) -> None:
        """Weights, optimiser, samples that wait or are kept, counters and positions, in one step.  Raises OSError."""

        def fill(partial: Path) -> None:
            save_tensors(dict(learner.network.state_dict()), partial / _NETWORK)
            save_tensors(learner.optimiser_tensors(), partial / _OPTIMISER)
            (partial / _SAMPLES).write_bytes(learner.intake.write())
            state = {"place": asdict(learner.place), "positions": positions, "told": told}
            (partial / _STATE).write_text(json.dumps(state) + "\n")

        sweep_checkpoints(self.directory)
        self._number = max(self._number, self._newest_number()) + 1
        save_checkpoint(self.directory, self._number, fill)

    def newest(self) -> StreamCheckpoint | None:
        """The last one, or None.  Raises BadConfig where it cannot be read."""
        path = newest_checkpoint(self.directory)
        if path is None:
            return None
        try:
            state = json.loads((path / _STATE).read_bytes())
            return StreamCheckpoint(
                place=LearnerPlace(**state["place"]),
                network=load_file(path / _NETWORK),
                optimiser=load_file(path / _OPTIMISER),
                intake=Intake.read((path / _SAMPLES).read_bytes(), self.config),
                positions=dict(state["positions"]),
                told=dict(state["told"]),
            )
        # A file that is missing is a RuntimeError to safetensors.
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, BadConfig) as error:
            raise BadConfig(f"{path} is a damaged checkpoint ({error}): remove it to begin anew") from error

    def _newest_number(self) -> int:
        path = newest_checkpoint(self.directory)
        return 0 if path is None else int(path.name.rpartition("-")[2])
