"""Ranking metrics over one user's list (HR@K as in arXiv 2602.08575, eq. 19)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

# Shapes: R items of a list, H places of a list that hold a true item.


def hit_rate(ranked_R: NDArray[np.int64], truth: Collection[int], k: int) -> float:
    """|top-K and truth| / |truth|; ranked_R: distinct item ids, best first.  An empty truth is a ValueError."""
    return _hit_rate(_places(ranked_R, truth), len(set(truth)), k)


def ndcg(ranked_R: NDArray[np.int64], truth: Collection[int], k: int) -> float:
    """Binary-relevance NDCG@K: gain 1 / log2(rank + 1), over that of a list which begins with all true items."""
    return _ndcg(_places(ranked_R, truth), len(set(truth)), k)


def metric_names(ks: Sequence[int]) -> tuple[str, ...]:
    """Names of what `metrics_of` computes, in its order."""
    return tuple(name for k in ks for name in (f"HR@{k}", f"NDCG@{k}"))


def metrics_of(ranked_R: NDArray[np.int64], truth: Collection[int], ks: Sequence[int]) -> list[float]:
    """HR@K and NDCG@K for every K; the list is looked through once."""
    place_H, true = _places(ranked_R[: max(ks)], truth), len(set(truth))
    return [value for k in ks for value in (_hit_rate(place_H, true, k), _ndcg(place_H, true, k))]


def _places(ranked_R: NDArray[np.int64], truth: Collection[int]) -> NDArray[np.int64]:
    """Where the list holds true items, from 0, ascending."""
    if not truth:
        raise ValueError("a metric needs at least one true item")
    wanted = np.fromiter(truth, np.int64, len(truth))
    return np.flatnonzero(np.isin(ranked_R, wanted))


def _hit_rate(place_H: NDArray[np.int64], true: int, k: int) -> float:
    return int((place_H < k).sum()) / true


def _ndcg(place_H: NDArray[np.int64], true: int, k: int) -> float:
    gained = (1.0 / np.log2(place_H[place_H < k] + 2.0)).sum()
    return float(gained / (1.0 / np.log2(np.arange(2.0, min(true, k) + 2.0))).sum())
