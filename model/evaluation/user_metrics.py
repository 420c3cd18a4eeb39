"""Metrics user by user: what means, intervals and paired comparisons are made of, and their file.

Made by `evaluate`, kept by `rankgr eval --per-user` and by the cells of a study.  Never ranks anything.
"""

# Shapes: U users that have a truth, M metrics.

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.errors import BadResults

Metrics = dict[str, dict[str, float]]
"""Truth name -> metric name ("HR@20", "NDCG@10") -> mean over the users that have such a truth."""

FIXED_COLUMNS = ("user_id", "truth")


@dataclass(frozen=True, slots=True, eq=False)
class TruthMetrics:
    """One truth set: users [U], and `values` float64 [U, M] with the name of every column in `metrics`."""

    users: tuple[str, ...]
    metrics: tuple[str, ...]
    values: NDArray[np.float64]

    def column(self, metric: str) -> NDArray[np.float64]:
        """One metric of every user, float64 [U]."""
        return self.values[:, self.metrics.index(metric)]


@dataclass(frozen=True, slots=True, eq=False)
class UserMetrics:
    """Metrics of every user, by truth; a user without a truth is in none of its rows."""

    truths: dict[str, TruthMetrics]

    def means(self) -> Metrics:
        """Truth -> metric -> mean over its users."""
        return {
            truth: dict(zip(of.metrics, of.values.mean(0).tolist(), strict=True)) for truth, of in self.truths.items()
        }

    def write(self, path: Path) -> None:
        """One row per truth and user; whole or not at all, over a file that was there.  OSError when refused."""
        tables = [_table(truth, of) for truth, of in sorted(self.truths.items())]
        partial = path.with_name(f".{path.name}.partial")
        try:
            # Truths may have metrics of their own; elsewhere these are NULL.
            pq.write_table(
                pa.concat_tables(tables, promote_options="default") if tables else _table("", _nobody()), partial
            )
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> UserMetrics:
        """What `write` wrote; raises BadResults, in one line, for anything else."""
        if not path.is_file():
            raise BadResults(f"{path} is missing: no metrics of users are kept there")
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise BadResults(f"{path} is no readable Parquet file") from error
        metrics = tuple(name for name in table.column_names if name not in FIXED_COLUMNS)
        floats = all(pa.types.is_float64(table.schema.field(name).type) for name in metrics)
        if table.column_names[:2] != list(FIXED_COLUMNS) or not floats:
            raise BadResults(f"{path} holds no metrics of users: its columns are {', '.join(table.column_names)}")
        truth_R = np.asarray(table["truth"].to_pylist(), dtype=object)
        user_R = np.asarray(table["user_id"].to_pylist(), dtype=object)
        values_RM = np.column_stack([table[name].to_numpy() for name in metrics]) if metrics else np.empty((0, 0))
        found: dict[str, TruthMetrics] = {}
        for truth in dict.fromkeys(truth_R.tolist()):
            own_UM = values_RM[truth_R == truth]
            known_M = ~np.isnan(own_UM).all(0)
            names = tuple(name for name, known in zip(metrics, known_M.tolist(), strict=True) if known)
            found[truth] = TruthMetrics(
                tuple(user_R[truth_R == truth].tolist()), names, np.ascontiguousarray(own_UM[:, known_M])
            )
        return cls(found)


def mean_over_seeds(runs: Sequence[UserMetrics]) -> UserMetrics:
    """Each user's mean over several runs of one method; ValueError where they are not of the same users."""
    first = runs[0]
    for other in runs[1:]:
        same = other.truths.keys() == first.truths.keys() and all(
            (of.users, of.metrics) == (first.truths[truth].users, first.truths[truth].metrics)
            for truth, of in other.truths.items()
        )
        if not same:
            raise ValueError("runs of other users, truths or metrics cannot be averaged")
    return UserMetrics(
        {
            truth: TruthMetrics(of.users, of.metrics, np.mean([run.truths[truth].values for run in runs], axis=0))
            for truth, of in first.truths.items()
        }
    )


def _table(truth: str, of: TruthMetrics) -> pa.Table:
    columns = {"user_id": pa.array(of.users, pa.string()), "truth": pa.array([truth] * len(of.users), pa.string())}
    columns |= {name: pa.array(of.column(name), pa.float64()) for name in of.metrics}
    return pa.table(columns)


def _nobody() -> TruthMetrics:
    return TruthMetrics((), (), np.empty((0, 0)))
