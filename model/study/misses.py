"""Where methods hit and where they miss: users cut by what is known of their truth and history before anyone ranks.

Called by `rankgr misses` on files of `--per-user`, the cells of a table among them.  Training rows alone decide.
"""

# Shapes: E training events, N items, U users, T history, K items of a truth.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from contracts.behaviors import Level
from contracts.errors import BadResults
from model.baselines.train_rows import TrainRows
from model.data.arrays import Int64
from model.data.data_set import DataSet
from model.data.log import Split
from model.data.timelines import HeldOut, held_out
from model.evaluation.user_metrics import UserMetrics

# Upper ends of the parts, the last one open.
POPULARITY_ENDS = (0, 5, 20, 100)
HISTORY_ENDS = (2, 5, 10, 20)
# Events of a user further apart are not related: pairs grow with this, not with the square of a history.
MOST_APART = 200
RELATIONS = ("had before", "follows", "neighbour", "never together", "not in training")


@dataclass(frozen=True, slots=True)
class Part:
    """Users that have something in common: by what, its name, how many, and the mean of each method over them."""

    by: str
    name: str
    users: int
    means: tuple[float, ...]


def misses(data: DataSet, split: Split, methods: Sequence[UserMetrics], truth: str, metric: str) -> list[Part]:
    """Means of one metric over parts of the users that all methods have, parts without users left out.

    `popularity`: training users of the truth's most popular item.  `history`: clicks, or more, before the
    request.  `relation`: the closest of the truth's items to any item of the history: one of its own items; an item
    that some training user had at most 200 events after one of them; or before one; one that nobody had near any of
    them.
    Raises BadResults where a method has no such truth or metric, or the methods share no user of this data set.
    """
    columns = [_column(method, truth, metric) for method in methods]
    rows = TrainRows.of(data, Level.CLICK)
    related = _Related.of(rows)
    named: dict[tuple[str, str], list[list[float]]] = {
        **{("popularity", name): [] for name in _names(POPULARITY_ENDS)},
        **{("history", name): [] for name in _names(HISTORY_ENDS)},
        **{("relation", name): [] for name in RELATIONS},
    }
    found = 0
    for user in held_out(data, split):
        if user.truth.get(truth) and all(user.user in column for column in columns):
            found += 1
            values = [column[user.user] for column in columns]
            for part in _parts_of(user, np.array(sorted(user.truth[truth])), rows, related):
                named[part].append(values)
    if not found:
        raise BadResults(f"no held-out user of {data.name} with a truth {truth!r} is in all of the files")
    return [
        Part(by, name, len(values), tuple(np.mean(values, axis=0).tolist()))
        for (by, name), values in named.items()
        if values
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Related:
    """Which items a training user had after another [N, N], row before column."""

    after: sp.csr_matrix

    @classmethod
    def of(cls, rows: TrainRows) -> _Related:
        ends_U = np.searchsorted(rows.user, np.arange(int(rows.user.max()) + 2))
        length_E = ends_U[rows.user + 1] - np.arange(len(rows.user)) - 1
        length_E = np.minimum(length_E, MOST_APART)
        first_P = np.repeat(np.arange(len(rows.user)), length_E)
        start_P = np.repeat(np.cumsum(length_E) - length_E, length_E)
        second_P = first_P + 1 + np.arange(len(first_P)) - start_P
        pairs = (rows.item[first_P], rows.item[second_P])
        counts = sp.coo_matrix((np.ones(len(first_P), np.int32), pairs), (len(rows), len(rows))).tocsr()
        return cls(counts)

    def between(self, history_T: Int64, truth_K: Int64) -> str:
        """The closest relation of any two different items; rows of items that training knows."""
        if self.after[history_T][:, truth_K].nnz:
            return "follows"
        return "neighbour" if self.after[truth_K][:, history_T].nnz else "never together"


def _parts_of(user: HeldOut, truth_K: Int64, rows: TrainRows, related: _Related) -> Iterable[tuple[str, str]]:
    row_K = rows.rows_of(truth_K)
    known_K = row_K[row_K >= 0]
    popularity = int(rows.popularity[known_K].max(initial=0.0))
    row_T = rows.rows_of(user.items)
    yield "popularity", _name(POPULARITY_ENDS, popularity)
    yield "history", _name(HISTORY_ENDS, len(user.items))
    if np.isin(truth_K, user.items).any():
        yield "relation", "had before"
    elif not len(known_K):
        yield "relation", "not in training"
    else:
        yield "relation", related.between(row_T[row_T >= 0], known_K)


def _column(method: UserMetrics, truth: str, metric: str) -> dict[str, float]:
    of = method.truths.get(truth)
    if of is None or metric not in of.metrics:
        known = [f"{name}: {', '.join(each.metrics)}" for name, each in method.truths.items()]
        raise BadResults(f"no {metric} of truth {truth!r} there, only {'; '.join(known)}")
    return dict(zip(of.users, of.column(metric).tolist(), strict=True))


def _names(ends: Sequence[int]) -> list[str]:
    return [_name(ends, end) for end in (*ends, ends[-1] + 1)]


def _name(ends: Sequence[int], value: int) -> str:
    low = 0
    for end in ends:
        if value <= end:
            return str(end) if low == end else f"{low} to {end}"
        low = end + 1
    return f"{low} or more"
