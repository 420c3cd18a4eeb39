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
from contracts.progress import Progress, Silent
from model.semantic_id.finite import finite
from model.semantic_id.nearest import less, nearest
from model.semantic_id.one_thread import one_thread

# Shapes: N items, D dimensions, V codes of a level, M levels.
Float32s = npt.NDArray[np.float32]
Int32s = npt.NDArray[np.int32]

# Full k-means reads every item in every iteration; above this many it would take minutes.
MOST_ITEMS_FOR_FULL_KMEANS = 30_000
FULL_ITERATIONS = 30
BATCH_ITEMS = 4096
# Points that each code sees, and how often any item is seen at most: more move the centroids no further.
POINTS_PER_CODE, MOST_PASSES = 512, 5
# Choosing well spread first centroids costs points times codes: a few points per code are enough to choose from.
SEEDING_POINTS_PER_CODE, MOST_SEEDING_POINTS = 8, 8192
MOST_CODES_TO_SPREAD = 4096
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
        progress: Progress | None = None,
    ) -> Self:
        """Cluster level by level; the same input and seed give the same centroids.

        Up to `most_for_full` items by full k-means, more of them by mini-batches.

        Raises BadDataSet for no items, for features that are not finite, and for a level without codes.
        """
        shown = progress or Silent()
        residual_ND = finite(features_ND)
        if residual_ND.shape[0] == 0:
            raise BadDataSet("no items to make semantic ids for")
        if not level_sizes or min(level_sizes) < 1:
            raise BadDataSet(f"every level needs at least one code, not {tuple(level_sizes)}")
        centroids = []
        for level, size in enumerate(level_sizes):
            shown.begin(f"level {level + 1}: {size} codes", _points_seen(len(residual_ND), size, most_for_full))
            centroid_VD = _cluster(residual_ND, size, seed + level, most_for_full, shown)
            centroids.append(centroid_VD)
            if level + 1 < len(level_sizes):
                residual_ND = less(residual_ND, centroid_VD, nearest(residual_ND, centroid_VD), in_place=level > 0)
        return cls(tuple(centroids))

    def ranked(self, size: int) -> Self:
        """The same with one level more, whose `size` codes are all alike: every item is nearest to code 0.

        Where ids are unique, settling collisions then ranks what shares a prefix: the most popular keeps 0.
        """
        return type(self)((*self.centroids, np.zeros((size, self.dims), np.float32)))

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
        return finite(features_ND)

    def decode(self, codes_NM: Int32s) -> Float32s:
        """Sum of the codes' centroids, Float32[N, D]."""
        summed_ND = np.zeros((codes_NM.shape[0], self.dims), np.float32)
        for level, centroid_VD in enumerate(self.centroids):
            summed_ND += centroid_VD[codes_NM[:, level]]
        return summed_ND

    def encode(self, features_ND: Float32s) -> Int32s:
        """Codes, Int32[N, M]; ties go to the lower code.  Raises BadDataSet for features not finite."""
        residual_ND = finite(features_ND)
        codes_NM = np.empty((len(residual_ND), len(self.centroids)), np.int32)
        for level, centroid_VD in enumerate(self.centroids):
            codes_NM[:, level] = nearest(residual_ND, centroid_VD)
            if level + 1 < len(self.centroids):
                residual_ND = less(residual_ND, centroid_VD, codes_NM[:, level], in_place=level > 0)
        return codes_NM

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


def _cluster(points_ND: Float32s, size: int, seed: int, most_for_full: int, progress: Progress) -> Float32s:
    first = _distinct(points_ND[: 4 * size])
    # Telling all points apart means to sort them all: only where a part has not shown enough of them.
    if first.size <= size < points_ND.shape[0]:
        first = _distinct(points_ND)
    if first.size <= size:
        # Fewer points than codes: each point is a centroid, and the codes left over repeat them, so that
        # items which share a point have several equally near codes to settle on.
        return points_ND[np.resize(first, size)]
    with one_thread(), warnings.catch_warnings():
        # Near-duplicate points may leave a code empty; collisions settle on it later, so it is no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        if points_ND.shape[0] <= most_for_full:
            model = KMeans(size, n_init=1, max_iter=FULL_ITERATIONS, random_state=seed).fit(points_ND)
            return np.asarray(model.cluster_centers_, np.float32)
        return _cluster_by_batches(points_ND, size, seed, progress)


def _cluster_by_batches(points_ND: Float32s, size: int, seed: int, progress: Progress) -> Float32s:
    """Mini-batch k-means over so many points that each code sees enough of them, however many items there are."""
    chance = np.random.default_rng(seed)
    items, batch = points_ND.shape[0], max(BATCH_ITEMS, 2 * size)
    seeding = min(items, max(2 * size, min(SEEDING_POINTS_PER_CODE * size, MOST_SEEDING_POINTS)))
    seeding_KD = points_ND[np.sort(chance.choice(items, seeding, replace=False))]
    # Well spread first centroids cost points times codes squared; with so many codes chance spreads them as well.
    spread = size <= MOST_CODES_TO_SPREAD
    model = MiniBatchKMeans(
        size,
        init="k-means++" if spread else seeding_KD[chance.choice(len(seeding_KD), size, replace=False)],
        n_init=1,
        batch_size=batch,
        init_size=len(seeding_KD),
        random_state=seed,
        compute_labels=False,
    )
    model.partial_fit(seeding_KD)
    order = np.zeros(0, np.int64)
    for _ in range(0, min(MOST_PASSES * items, POINTS_PER_CODE * size), batch):
        if len(order) < batch:
            order = np.concatenate([order, chance.permutation(items)])
        model.partial_fit(points_ND[order[:batch]])
        order = order[batch:]
        progress.advance(batch)
    return np.asarray(model.cluster_centers_, np.float32)


def _points_seen(items: int, size: int, most_for_full: int) -> int:
    return 1 if items <= most_for_full else min(MOST_PASSES * items, POINTS_PER_CODE * size)


def _distinct(points_ND: Float32s) -> npt.NDArray[np.int64]:
    """Row at which each distinct point stands first, Int64[P], rising."""
    _, first = np.unique(points_ND.round(SAME_POINT_DECIMALS), axis=0, return_index=True)
    return np.sort(first)
