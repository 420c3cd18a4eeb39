"""Embedding hit rate: do the items that users meet together lie near each other (FORGE, arXiv 2509.20904)?

Asked of the vectors that were quantised and of what the codes say of them: the difference is what the codes lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.semantic_id.evidence import RelatedItems
from model.semantic_id.quantiser import Float32s
from model.semantic_id.unit_rows import unit_rows

# Shapes: N items, D dimensions, Q queries, q queries at once, K neighbours.
Int64s = npt.NDArray[np.int64]
# Likenesses held at once: 64 MiB.
LIKENESSES_AT_ONCE = 2**24


def hit_rates(vectors_ND: Float32s, related: RelatedItems, ks: Sequence[int]) -> dict[int, float]:
    """Per k the mean, over queries, of the share of their related items among their k nearest: 0 to 1.

    Near by the cosine; the query itself never counts; ties go to the lower row.
    """
    if not len(related):
        return dict.fromkeys(ks, 0.0)
    unit_ND = unit_rows(vectors_ND)
    found_K = np.zeros(len(ks))
    at_once = max(1, LIKENESSES_AT_ONCE // len(unit_ND))
    for first in range(0, len(related), at_once):
        asked_q = related.query[first : first + at_once]
        near_qK = nearest_by_cosine(unit_ND, asked_q, max(ks))
        for place, near_K in enumerate(near_qK, start=first):
            wanted = related.related[related.start[place] : related.start[place + 1]]
            hit_K = np.isin(near_K, wanted)
            found_K += [hit_K[:k].sum() / len(wanted) for k in ks]
    return {k: float(found / len(related)) for k, found in zip(ks, found_K, strict=True)}


def nearest_by_cosine(unit_ND: Float32s, query_Q: Int64s, most: int) -> Int64s:
    """Rows of the nearest items of each query row, best first, itself left out: Int64[Q, min(most, N - 1)]."""
    likeness_QN = unit_ND[query_Q] @ unit_ND.T
    likeness_QN[np.arange(len(query_Q)), query_Q] = -np.inf
    most = min(most, len(unit_ND) - 1)
    # A partition finds the last likeness that counts; whoever has exactly that one is settled by row.
    bound_Q1 = -np.partition(-likeness_QN, most - 1, axis=1)[:, most - 1 : most] if most else likeness_QN[:, :0]
    near_QK = np.empty((len(query_Q), most), np.int64)
    for row in range(len(query_Q) if most else 0):
        rows = np.flatnonzero(likeness_QN[row] >= bound_Q1[row])
        near_QK[row] = rows[np.argsort(-likeness_QN[row, rows], kind="stable")[:most]]
    return near_QK
