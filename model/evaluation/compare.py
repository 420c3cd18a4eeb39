"""Two methods on the same users: the paired difference of every metric, with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contracts.errors import BadResults
from model.evaluation.bootstrap import DRAWS, Interval, intervals
from model.evaluation.user_metrics import TruthMetrics, UserMetrics


def compare(
    ours: UserMetrics, theirs: UserMetrics, seed: int = 0, draws: int = DRAWS
) -> dict[str, dict[str, Interval]]:
    """Truth -> metric -> ours minus theirs.  Raises BadResults where the two were not measured on the same users.

    Truths and metrics that only one of them has are left out.
    """
    found: dict[str, dict[str, Interval]] = {}
    for truth, of in ours.truths.items():
        if truth not in theirs.truths:
            continue
        other = theirs.truths[truth]
        shared = [name for name in of.metrics if name in other.metrics]
        if not shared:
            continue
        difference = _columns(of, shared) - _columns(_as_ordered(other, of), shared)
        found[truth] = dict(zip(shared, intervals(difference, seed, draws), strict=True))
    if not found:
        raise BadResults("the two have no truth and metric in common: nothing can be compared")
    return found


def _as_ordered(other: TruthMetrics, like: TruthMetrics) -> TruthMetrics:
    """The same users in the order of `like`."""
    row_of = {user: row for row, user in enumerate(other.users)}
    if len(row_of) != len(other.users) or row_of.keys() != set(like.users):
        raise BadResults(
            f"{len(like.users):,} and {len(other.users):,} users were measured, and they are not the same: "
            "a paired difference needs the same users"
        )
    return TruthMetrics(like.users, other.metrics, other.values[[row_of[user] for user in like.users]])


def _columns(of: TruthMetrics, names: list[str]) -> NDArray[np.float64]:
    return of.values[:, [of.metrics.index(name) for name in names]]
