"""One run: vectors to codes, collisions settled, catalogue written; each stage timed, its peak of memory kept."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from contracts.progress import Progress
from model.semantic_id.catalog import Catalog
from model.semantic_id.collisions import settle_collisions
from model.semantic_id.quantiser import Float32s, Int32s, Quantiser
from model.semantic_id.quantisers import fit_quantiser
from model.semantic_id.report import SidReport, sid_report
from model.semantic_id.settings import SidSettings
from services.bench.engine.memory import forget_peaks, peak_mb
from services.bench.sids.vectors import make_vectors

# Popularity falls with the rank as in shops: a few items have most of the clicks.
POPULARITY_SKEW = 1.2
SAMPLED_ITEMS = 20_000


@dataclass(frozen=True, slots=True)
class Row:
    """One stage: seconds by the wall, seconds of processors, most memory resident while it ran."""

    stage: str
    seconds: float
    cpu_seconds: float
    peak_rss_mb: float


@dataclass(slots=True)
class Measured:
    """Stages in order; lost: share of the vectors' squared length that the nearest codes do not explain."""

    rows: list[Row] = field(default_factory=list)
    collisions_before: SidReport | None = None
    report: SidReport | None = None
    moved: int = 0
    lost: float = 0.0
    lost_settled: float = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what happens inside."""
        forget_peaks(os.getpid())
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        self.rows.append(Row(name, round(seconds, 2), round(cpu_seconds, 2), round(peak_mb(os.getpid()), 1)))


def measure(items: int, settings: SidSettings, progress: Progress) -> Measured:
    """Make ids for so many made-up items.  The making of the vectors is no stage: a shop has its own."""
    measured = Measured()
    progress.begin("vectors", items)
    vectors_ND = make_vectors(items, settings.dims, settings.seed, progress.advance)
    popularity_N = _popularity(items, settings.seed)
    with measured.stage("quantiser"):
        quantiser = fit_quantiser(vectors_ND, np.empty((0, 2), np.int64), settings, progress)
    progress.begin("codes", 3)
    with measured.stage("codes"):
        codes_NM = quantiser.encode(vectors_ND)
    progress.advance(1)
    with measured.stage("collisions"):
        latent_NZ = quantiser.latent(vectors_ND)
        settled_NM = settle_collisions(codes_NM, latent_NZ, quantiser.codebooks, popularity_N, settings.cap)
    progress.advance(1)
    with measured.stage("catalogue"), tempfile.TemporaryDirectory(prefix="rankgr-bench-") as directory:
        catalog = Catalog(np.arange(items, dtype=np.int64), settled_NM, popularity_N, settings.level_sizes)
        catalog.write(Path(directory) / "catalog.parquet")
    progress.advance(1)
    measured.collisions_before = sid_report(codes_NM, settings.level_sizes)
    measured.report = sid_report(settled_NM, settings.level_sizes)
    measured.moved = int((codes_NM != settled_NM).any(axis=1).sum())
    sample = np.random.default_rng(settings.seed).choice(items, min(items, SAMPLED_ITEMS), replace=False)
    measured.lost = _lost(quantiser, vectors_ND[sample], codes_NM[sample])
    measured.lost_settled = _lost(quantiser, vectors_ND[sample], settled_NM[sample])
    return measured


def _popularity(items: int, seed: int) -> npt.NDArray[np.float32]:
    rank_N = np.random.default_rng(seed).permutation(items) + 1.0
    return np.floor(items / rank_N**POPULARITY_SKEW).astype(np.float32)


def _lost(quantiser: Quantiser, vectors_KD: Float32s, codes_KM: Int32s) -> float:
    rest_KD = vectors_KD - quantiser.decode(codes_KM)
    return float(np.square(rest_KD).sum() / np.square(vectors_KD).sum())
