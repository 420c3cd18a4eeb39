"""Ranking metrics over one user's list (HR@K as in arXiv 2602.08575, eq. 19)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray


def hit_rate(ranked_R: NDArray[np.int64], truth: Collection[int], k: int) -> float:
    """|top-K and truth| / |truth|; ranked_R: distinct item ids, best first.  An empty truth is a ValueError."""
    if not truth:
        raise ValueError("a hit rate needs at least one true item")
    return len(set(ranked_R[:k].tolist()) & set(truth)) / len(truth)


def ndcg(ranked_R: NDArray[np.int64], truth: Collection[int], k: int) -> float:
    """Binary-relevance NDCG@K: gain 1 / log2(rank + 1), over that of a list which begins with all true items."""
    if not truth:
        raise ValueError("NDCG needs at least one true item")
    wanted = set(truth)
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    hits = np.array([item in wanted for item in ranked_R[:k].tolist()], dtype=np.float64)
    return float((hits * gains[: len(hits)]).sum() / gains[: min(len(wanted), k)].sum())
