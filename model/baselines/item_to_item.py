"""Lists from a matrix that says how well one item follows from another: co-occurrence and directed transitions.

A user's score for an item is the sum of what the history's items say of it, weighted by how long ago they were.
"""

# Shapes: B users, N items, E events, H history, W events of the window.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from contracts.behaviors import Level
from model.baselines.lists import Lists
from model.baselines.train_rows import TrainRows
from model.data.arrays import Bool, Float64, Int64
from model.data.timelines import HeldOut
from model.evaluation.recommender import Ranking

# Shrinks the cosine of items that few users touched: two items of one user each would otherwise be perfectly alike.
PRIOR_USERS = 20.0
WINDOW = 20
DISTANCE_POWER = 0.5
SMOOTHING = 0.15
RECENCY = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class ItemToItem:
    """`says` [N, N], row: the history's item, column: the candidate; its diagonal is not used.

    recency: weight of a history's event over that of the one after it.  repeats_first: what the user had clicked
    comes before anything else, the last click first.
    """

    rows: TrainRows
    says: sp.csr_matrix
    longest: int
    recency: float = 1.0
    repeats_first: bool = False

    def __call__(self, users: Sequence[HeldOut]) -> list[Ranking]:
        """One list each."""
        make = Lists(self.rows, self.longest)
        scores_BN = (self._weights(users) @ self.says).tocsr()
        rankings = []
        for place, user in enumerate(users):
            own = slice(scores_BN.indptr[place], scores_BN.indptr[place + 1])
            row_S, score_S = scores_BN.indices[own].astype(np.int64), scores_BN.data[own]
            if self.repeats_first:
                row_S, score_S = self._with_repeats(user, row_S, score_S)
            rankings.append(make(row_S, score_S))
        return rankings

    def _weights(self, users: Sequence[HeldOut]) -> sp.csr_matrix:
        known = [self.rows.rows_of(user.items) for user in users]
        known = [row_H[row_H >= 0] for row_H in known]
        weight = [self.recency ** np.arange(len(row_H) - 1, -1, -1.0) for row_H in known]
        user_E = np.repeat(np.arange(len(users)), [len(row_H) for row_H in known])
        row_E, weight_E = np.concatenate([np.zeros(0, np.int64), *known]), np.concatenate([np.zeros(0), *weight])
        return sp.csr_matrix((weight_E, (user_E, row_E)), (len(users), len(self.rows)))

    def _with_repeats(self, user: HeldOut, row_S: Int64, score_S: Float64) -> tuple[Int64, Float64]:
        clicked_H = self.rows.rows_of(user.items[user.levels >= Level.CLICK])
        # From the last click to the first; each item where it was clicked last.
        newest_first = clicked_H[clicked_H >= 0][::-1]
        row_K = newest_first[np.sort(np.unique(newest_first, return_index=True)[1])]
        rest: Bool = ~np.isin(row_S, row_K)
        above = score_S.max(initial=0.0) + 1.0 + np.arange(len(row_K), 0, -1.0)
        return np.concatenate([row_K, row_S[rest]]), np.concatenate([above, score_S[rest]])


def cooccurrence(rows: TrainRows, prior: float = PRIOR_USERS) -> sp.csr_matrix:
    """Shrunken cosine [N, N]: users of both items over sqrt((users of one + prior) (users of the other + prior))."""
    users = int(rows.user.max()) + 1
    touched = sp.csr_matrix((np.ones(len(rows.user)), (rows.user, rows.item)), (users, len(rows)))
    touched.data[:] = 1.0
    both = (touched.T @ touched).tocsr()
    scale = sp.diags_array(1.0 / np.sqrt(both.diagonal() + prior))
    return _without_diagonal(scale @ both @ scale)


def transitions(rows: TrainRows, window: int = WINDOW) -> sp.csr_matrix:
    """What follows what [N, N]: sum of distance^-0.5 over ordered pairs of a user's events at most `window` apart.

    Divided by both items' totals to the power .15, which takes a little from those that are part of everything.
    """
    counts = sp.csr_matrix((len(rows), len(rows)), dtype=np.float64)
    for distance in range(1, min(window, len(rows.item) - 1) + 1):
        same = rows.user[:-distance] == rows.user[distance:]
        weight = np.full(int(same.sum()), distance**-DISTANCE_POWER)
        pairs = (rows.item[:-distance][same], rows.item[distance:][same])
        counts = counts + sp.coo_matrix((weight, pairs), counts.shape).tocsr()
    left, right = _scale(np.asarray(counts.sum(1)).ravel()), _scale(np.asarray(counts.sum(0)).ravel())
    return _without_diagonal(left @ counts @ right)


def returns_often(rows: TrainRows) -> bool:
    """Whether at least every fourth training click is on an item that its user had clicked before.

    Where users come back like this, what they had clicked comes first; decided on training rows alone.
    """
    clicked = rows.level >= Level.CLICK
    pairs = rows.user[clicked].astype(np.int64) * len(rows) + rows.item[clicked]
    if not len(pairs):
        return False
    return 1.0 - len(np.unique(pairs)) / len(pairs) >= 0.25


def _scale(total_N: Float64) -> sp.dia_array:
    return sp.diags_array(np.where(total_N > 0, np.maximum(total_N, 1e-12) ** -SMOOTHING, 0.0))


def _without_diagonal(matrix: sp.csr_matrix) -> sp.csr_matrix:
    coo = matrix.tocoo()
    off = coo.row != coo.col
    return sp.csr_matrix((coo.data[off], (coo.row[off], coo.col[off])), coo.shape)
