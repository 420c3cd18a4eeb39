"""Where a training runs: one process or several under torchrun, on CPUs or GPUs, in float32 or bf16.

A thin layer over Hugging Face's accelerate, which reads torchrun's environment; the rest of the trainer asks only this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import broadcast
from torch import Tensor, nn

from model.training.step import StepLosses


class Devices:
    """All processes of one training run, seen from this one."""

    def __init__(self, precision: Literal["float32", "bf16"]) -> None:
        # accelerate keeps one state per process and refuses another precision: a second training is a new one.
        AcceleratorState._reset_state()
        self._accelerator = Accelerator(
            cpu=not torch.cuda.is_available(), mixed_precision="bf16" if precision == "bf16" else "no"
        )

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self._accelerator.process_index)

    @property
    def processes(self) -> int:
        """How many there are."""
        return int(self._accelerator.num_processes)

    @property
    def main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        device: torch.device = self._accelerator.device
        return device

    def prepare(self, losses: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Both, on this process's device; of several processes the gradients are averaged."""
        prepared: tuple[nn.Module, torch.optim.Optimizer] = self._accelerator.prepare(losses, optimiser)
        return prepared

    def backward(self, step: StepLosses) -> None:
        """Gradients of the whole batch's loss: averaged shares, hence times the number of processes."""
        self._accelerator.backward(step.total * self.processes)

    def clip(self, module: nn.Module, most: float) -> Tensor:
        """Norm of all gradients together, which is at most `most` afterwards."""
        norm: Tensor = self._accelerator.clip_grad_norm_(module.parameters(), most)
        return norm

    def sum_over(self, tally: Tensor) -> Tensor:
        """The sum over all processes, the same everywhere."""
        if self.processes == 1:
            return tally.detach()
        total: Tensor = self._accelerator.reduce(tally.detach(), reduction="sum")
        return total

    def from_main(self, value: float) -> float:
        """What the main process says, everywhere."""
        said = torch.tensor(value if self.main else 0.0, dtype=torch.float64, device=self.device)
        return float(self.sum_over(said))

    def bytes_from_main(self, content: bytes) -> bytes:
        """The main process's bytes, everywhere; what the others give is not looked at."""
        if self.processes == 1:
            return content
        size = int(self.from_main(float(len(content))))
        room = torch.zeros(size, dtype=torch.uint8, device=self.device)
        if self.main and size:
            room.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        told: Tensor = broadcast(room, from_process=0)
        return told.cpu().numpy().tobytes()

    def wait(self) -> None:
        """Until every process is here."""
        self._accelerator.wait_for_everyone()


def wait_for_all() -> None:
    """Until every process is here; for the time before there are `Devices`."""
    PartialState(cpu=not torch.cuda.is_available()).wait_for_everyone()


def is_main_process() -> bool:
    """The same as `Devices.main`, before there is one: torchrun numbers its processes."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def repeatable() -> Iterator[None]:
    """Equal seeds give equal weights on CPUs.

    With several threads, sums over gathered rows come out in another order every time, unless told not to; GPUs have
    no such form of the attention's gradient, and are left as they are.
    """
    before = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
        # Writing over memory that is about to be written costs a twentieth of a step, and changes nothing here.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
