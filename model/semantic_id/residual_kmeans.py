"""Residual k-means: each level's codes cluster what the levels before left unexplained.

Called when semantic ids are made, and for a new item's codes; one of the quantisers (`quantiser.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from contracts.errors import BadBundle, BadDataSet
from model.semantic_id.one_thread import one_thread

# Shapes: N items, D dimensions, V codes of a level, M levels.
Float32s = npt.NDArray[np.float32]
Int32s = npt.NDArray[np.int32]

# Full k-means reads every item in every iteration; above this many it would take minutes.
MOST_ITEMS_FOR_FULL_KMEANS = 30_000
FULL_ITERATIONS = 30
BATCH_ITEMS, BATCH_PASSES = 4096, 5
# Choosing well spread first centroids costs points times codes: a few points per code are enough to choose from.
SEEDING_POINTS_PER_CODE = 8
# Distances held at once: 64 MiB.
DISTANCES_AT_ONCE = 2**24
# Features closer than this are one point: SVD noise must not become codes.
SAME_POINT_DECIMALS = 5


@dataclass(frozen=True, slots=True)
class ResidualKMeans:
    """One Float32[V_l, D] array of centroids per level; codes are the nearest ones, level by level."""

    centroids: tuple[Float32s, ...]

    @classmethod
    def fit(
        cls,
        features_ND: Float32s,
        level_sizes: Sequence[int],
        seed: int,
        *,
        most_for_full: int = MOST_ITEMS_FOR_FULL_KMEANS,
    ) -> Self:
        """Cluster level by level; the same input and seed give the same centroids.

        Up to `most_for_full` items by full k-means, more of them by mini-batches.

        Raises BadDataSet for no items, for features that are not finite, and for a level without codes.
        """
        residual_ND = _checked(features_ND)
        if residual_ND.shape[0] == 0:
            raise BadDataSet("no items to make semantic ids for")
        if not level_sizes or min(level_sizes) < 1:
            raise BadDataSet(f"every level needs at least one code, not {tuple(level_sizes)}")
        centroids = []
        for level, size in enumerate(level_sizes):
            centroid_VD = _cluster(residual_ND, size, seed + level, most_for_full)
            centroids.append(centroid_VD)
            residual_ND = residual_ND - centroid_VD[nearest(residual_ND, centroid_VD)]
        return cls(tuple(centroids))

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """Codes per level."""
        return tuple(centroid_VD.shape[0] for centroid_VD in self.centroids)

    @property
    def dims(self) -> int:
        """D."""
        return int(self.centroids[0].shape[1])

    @property
    def codebooks(self) -> tuple[Float32s, ...]:
        """The centroids."""
        return self.centroids

    def latent(self, features_ND: Float32s) -> Float32s:
        """The features themselves.  Raises BadDataSet for features that are not finite."""
        return _checked(features_ND)

    def decode(self, codes_NM: Int32s) -> Float32s:
        """Sum of the codes' centroids, Float32[N, D]."""
        summed_ND = np.zeros((codes_NM.shape[0], self.dims), np.float32)
        for level, centroid_VD in enumerate(self.centroids):
            summed_ND += centroid_VD[codes_NM[:, level]]
        return summed_ND

    def encode(self, features_ND: Float32s) -> Int32s:
        """Codes, Int32[N, M]; ties go to the lower code.  Raises BadDataSet for features not finite."""
        residual_ND = _checked(features_ND)
        codes = []
        for centroid_VD in self.centroids:
            codes.append(nearest(residual_ND, centroid_VD))
            residual_ND = residual_ND - centroid_VD[codes[-1]]
        return np.column_stack(codes).astype(np.int32)

    def to_arrays(self) -> dict[str, Float32s]:
        """State by name: `centroids.1` ... `centroids.m`."""
        return {f"centroids.{level}": rows for level, rows in enumerate(self.centroids, start=1)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Read what `to_arrays` gave.  Raises BadBundle for missing levels, wrong shapes, infinite values."""
        names = [f"centroids.{level}" for level in range(1, len(arrays) + 1)]
        if not names or set(names) != set(arrays):
            raise BadBundle(f"the quantiser holds {sorted(arrays)}, not centroids.1 to centroids.m")
        centroids = tuple(np.asarray(arrays[name], np.float32) for name in names)
        if any(rows.ndim != 2 or rows.shape[1:] != centroids[0].shape[1:] for rows in centroids):
            raise BadBundle("the quantiser's levels differ in their dimensions")
        if not all(np.isfinite(rows).all() for rows in centroids):
            raise BadBundle("the quantiser holds values that are not finite")
        return cls(centroids)


def squared_distances(points_ND: Float32s, centroid_VD: Float32s) -> Float32s:
    """Squared distance of every point to every centroid, less the point's own square: Float32[N, V].

    What is left out is the same for all centroids of a point, so the ranking stands.
    """
    distance_NV: Float32s = np.einsum("vd,vd->v", centroid_VD, centroid_VD) - 2.0 * points_ND @ centroid_VD.T
    return distance_NV


def nearest(
    points_ND: Float32s, centroid_VD: Float32s, distances_at_once: int = DISTANCES_AT_ONCE
) -> npt.NDArray[np.int64]:
    """Index of the nearest centroid, Int64[N]; the lowest among equals."""
    rows = max(1, distances_at_once // len(centroid_VD))
    starts = range(0, points_ND.shape[0], rows)
    parts = [squared_distances(points_ND[i : i + rows], centroid_VD).argmin(axis=1) for i in starts]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _checked(features_ND: Float32s) -> Float32s:
    bad = int((~np.isfinite(features_ND)).any(axis=1).sum())
    if bad:
        raise BadDataSet(f"{bad} of {features_ND.shape[0]} items have features that are not finite")
    return np.asarray(features_ND, np.float32)


def _cluster(points_ND: Float32s, size: int, seed: int, most_for_full: int) -> Float32s:
    first = _distinct(points_ND[: 4 * size])
    # Telling all points apart means to sort them all: only where a part has not shown enough of them.
    if first.size <= size < points_ND.shape[0]:
        first = _distinct(points_ND)
    if first.size <= size:
        # Fewer points than codes: each point is a centroid, and the codes left over repeat them, so that
        # items which share a point have several equally near codes to settle on.
        return points_ND[np.resize(first, size)]
    if points_ND.shape[0] <= most_for_full:
        model = KMeans(size, n_init=1, max_iter=FULL_ITERATIONS, random_state=seed)
    else:
        model = MiniBatchKMeans(
            size,
            n_init=1,
            batch_size=BATCH_ITEMS,
            max_iter=BATCH_PASSES,
            init_size=SEEDING_POINTS_PER_CODE * size,
            random_state=seed,
            compute_labels=False,
        )
    with one_thread(), warnings.catch_warnings():
        # Near-duplicate points may leave a code empty; collisions settle on it later, so it is no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(points_ND)
    return np.asarray(model.cluster_centers_, np.float32)


def _distinct(points_ND: Float32s) -> npt.NDArray[np.int64]:
    """Row at which each distinct point stands first, Int64[P], rising."""
    _, first = np.unique(points_ND.round(SAME_POINT_DECIMALS), axis=0, return_index=True)
    return np.sort(first)
