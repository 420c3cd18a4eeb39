"""Wiring of the benchmark of learning from a stream."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from services.bench.engine.machine import machine_of
from services.bench.train_stream.run import Measured, bundle_of, marketplace, measure


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run, and where it ran."""

    machine: dict[str, str | int | float]
    measured: Measured

    def content(self) -> dict[str, object]:
        """One JSON object."""
        return {
            "machine": self.machine,
            "rows": [asdict(self.measured)],
            "samples_per_s": round(self.measured.samples_per_s, 1),
            "tokens_per_s": round(self.measured.tokens_per_s),
        }

    def page(self) -> str:
        """For people."""
        one = self.measured
        step_ms, read_per_s = one.learn_s / max(one.steps, 1) * 1000, one.samples / one.read_s
        return (
            f"{one.parameters:,} weights; {one.learnt:,} of {one.samples:,} samples learnt from and {one.replayed:,} "
            f"replayed in {one.steps:,} steps\n"
            f"of processor time: {one.samples_per_s:,.0f} samples/s, {one.tokens_per_s:,.0f} tokens/s, "
            f"{step_ms:.0f} ms a step; reading {read_per_s:,.0f} samples/s\n"
            f"a checkpoint takes {one.keep_s:.2f} s and {one.kept_mb:,.1f} MiB"
        )


@dataclass(frozen=True, slots=True)
class Size:
    """How large a model (`preset`), marketplace and run."""

    preset: str
    users: int
    items: int
    samples: int
    batch_samples: int


def run(size: Size, release: str, started: datetime) -> Outcome:
    """Make a marketplace and a bundle, then measure."""
    threads = torch.get_num_threads()
    with TemporaryDirectory(prefix="rankgr-train-stream-") as place:
        data = marketplace(size.users, size.items, seed=0)
        bundle = bundle_of(data, Path(place), size.preset, release, started)
        measured = measure(data, bundle, Path(place), size.preset, size.samples, size.batch_samples)
        return Outcome(machine_of("cpu", threads, started), measured)
