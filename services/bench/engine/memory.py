"""Resident memory of a process and its children, as the kernel counts it (Linux; elsewhere this process alone)."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

KIB_PER_MIB = 1024
# What the kernel takes as: forget the peak, start again at what is resident now (man 5 proc, clear_refs).
_FORGET_PEAK = "5"


def forget_peaks(pid: int) -> None:
    """Let the peaks of a process tree start anew at what is resident now."""
    for one in _tree(pid):
        try:
            Path(f"/proc/{one}/clear_refs").write_text(_FORGET_PEAK)
        except OSError:
            # Ended meanwhile, or not Linux: the peak then stays the one since the process started.
            continue


def peak_mb(pid: int) -> float:
    """Peak resident memory, summed over a process tree: at most too high, for peaks need not coincide."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB**2
    return sum(_status_kib(one, "VmHWM") for one in _tree(pid)) / KIB_PER_MIB


def resident_mb(pid: int) -> float:
    """Resident memory now, summed over a process tree."""
    return sum(_status_kib(one, "VmRSS") for one in _tree(pid)) / KIB_PER_MIB


def _tree(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                waiting += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def _status_kib(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
