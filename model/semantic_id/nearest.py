"""Nearest of many vectors, in pieces that fit a cache: what every quantiser does at every level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.semantic_id.quantiser import Float32s

# Shapes: N points, V vectors, D dimensions.
# Distances held at once: 16 MiB.
DISTANCES_AT_ONCE = 2**22
ROWS_AT_ONCE = 2**14


def squared_distances(points_ND: Float32s, vector_VD: Float32s) -> Float32s:
    """Squared distance of every point to every vector, less the point's own square: Float32[N, V].

    What is left out is the same for all vectors of a point, so the ranking stands.
    """
    distance_NV: Float32s = points_ND @ (-2.0 * vector_VD.T)
    distance_NV += np.einsum("vd,vd->v", vector_VD, vector_VD)
    return distance_NV


def less(
    points_ND: Float32s, vector_VD: Float32s, code_N: npt.NDArray[np.integer], *, in_place: bool = False
) -> Float32s:
    """What the vectors of these codes leave of the points, Float32[N, D], without a second table as large."""
    rest_ND = points_ND if in_place else points_ND.copy()
    for start in range(0, len(rest_ND), ROWS_AT_ONCE):
        rest_ND[start : start + ROWS_AT_ONCE] -= vector_VD[code_N[start : start + ROWS_AT_ONCE]]
    return rest_ND


def nearest(
    points_ND: Float32s, vector_VD: Float32s, distances_at_once: int = DISTANCES_AT_ONCE
) -> npt.NDArray[np.int64]:
    """Index of the nearest vector, Int64[N]; the lowest among equals."""
    rows = max(1, distances_at_once // len(vector_VD))
    starts = range(0, points_ND.shape[0], rows)
    parts = [squared_distances(points_ND[i : i + rows], vector_VD).argmin(axis=1) for i in starts]
    return np.concatenate([np.zeros(0, np.int64), *parts])
