"""What a plain matrix product reaches: the yardstick for achieved operations per second, measured in the same run."""

from __future__ import annotations

import time

import torch

# Large enough to amortise everything, small enough for a second on a CPU.
SIDE = {"cpu": 1024, "cuda": 8192}
REPEATS = 8


def product_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of the fastest of some square products, with the threads this process has."""
    side = SIDE.get(device.type, SIDE["cpu"])
    left = torch.rand(side, side, device=device).to(dtype)
    right = torch.rand(side, side, device=device).to(dtype)
    fastest = min(_seconds(left, right) for _ in range(REPEATS + 1))
    return 2 * side**3 / fastest


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    _wait(left.device)
    started = time.perf_counter()
    torch.matmul(left, right)
    _wait(left.device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
