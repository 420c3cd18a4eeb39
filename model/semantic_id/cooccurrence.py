"""Items as vectors of the company they keep in users' histories: PPMI of co-occurrence, condensed by an SVD.

Called when a bundle is built, on train rows alone: a held-out row seen here would leak into the identifiers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from model.semantic_id.condense import condense
from model.semantic_id.unit_rows import Float32s, unit_rows

Int64s = npt.NDArray[np.int64]

WINDOW = 5
# Context counts to the power 0.75, as word embeddings have it: else rare neighbours weigh most.
CONTEXT_SMOOTHING = 0.75
# Half the singular value's weight: without it the few strongest directions drown the rest.
SINGULAR_POWER = 0.5


def cooccurrence_features(
    item_rows_of_users: Sequence[Int64s], n_items: int, dims: int, seed: int, window: int = WINDOW
) -> Float32s:
    """Unit rows, Float32[n_items, dims]; an item that never stands near another has a zero row.

    `item_rows_of_users`: per user the rows (0 to n_items - 1) of the items of the history, in order.
    """
    ppmi = ppmi_matrix(cooccurrence_counts(item_rows_of_users, n_items, window))
    if ppmi.nnz == 0:
        return np.zeros((n_items, dims), np.float32)
    return unit_rows(condense(ppmi, dims, seed, power=SINGULAR_POWER))


def cooccurrence_counts(item_rows_of_users: Sequence[Int64s], n_items: int, window: int) -> sp.csr_matrix:
    """How often two different items stand at most `window` places apart in a history: symmetric, [N, N]."""
    rows_E = np.concatenate([np.zeros(0, np.int64), *item_rows_of_users])
    user_E = np.repeat(np.arange(len(item_rows_of_users)), [len(rows) for rows in item_rows_of_users])
    counts = sp.csr_matrix((n_items, n_items), dtype=np.float64)
    for distance in range(1, min(window, max(rows_E.size - 1, 0)) + 1):
        left, right = rows_E[:-distance], rows_E[distance:]
        pair = (user_E[:-distance] == user_E[distance:]) & (left != right)
        ones = np.ones(int(pair.sum()))
        counts = counts + sp.coo_matrix((ones, (left[pair], right[pair])), counts.shape).tocsr()
    return (counts + counts.T).tocsr()


def likely_pairs(counts: sp.csr_matrix) -> Int64s:
    """Pairs of rows i < j that co-occur more often than chance would have it, Int64[P, 2]."""
    upper = sp.triu(ppmi_matrix(counts), k=1).tocoo()
    return np.column_stack([upper.row, upper.col]).astype(np.int64)


def ppmi_matrix(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Positive pointwise mutual information of symmetric counts: max(0, log(p(i,j) / (p(i) p'(j))))."""
    pairs = counts.tocoo()
    total_N = np.asarray(counts.sum(axis=1)).reshape(-1)
    context_N = total_N**CONTEXT_SMOOTHING
    expected = total_N[pairs.row] * context_N[pairs.col] / max(context_N.sum(), 1.0)
    information = np.log(pairs.data / expected) if pairs.nnz else pairs.data
    keep = information > 0
    return sp.csr_matrix((information[keep], (pairs.row[keep], pairs.col[keep])), counts.shape)
