"""Move items out of crowded semantic ids until none holds more than a cap, in the manner of FORGE.

Called when a bundle is built.  Prefixes stay semantic: an item leaves its prefix only when that is full.
"""

# Shapes: N items, D dimensions, M levels, V codes of a level, K items in question.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from contracts.errors import BadDataSet
from model.semantic_id.nearest import squared_distances
from model.semantic_id.one_thread import one_thread

Float32s = npt.NDArray[np.float32]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Prefix = tuple[int, ...]


def settle_collisions(
    codes_NM: Int32s, features_ND: Float32s, centroids: Sequence[Float32s], popularity_N: Float32s, cap: int
) -> Int32s:
    """Codes under which every semantic id holds at most `cap` items, Int32[N, M].

    1. The `cap` most popular items of each id keep it (ties: the lower row).  FORGE (arXiv 2509.20904) keeps
       random ones; the popular ones are those whose place matters, and the choice needs no seed.
    2. The others, most popular first, take the nearest last-level code with room and keep the codes before.
    3. Items whose prefix is completely full give up one more code at a time, from the right, until a part of
       the tree has room, and there take the nearest code with room at each level.
    Raises BadDataSet where there are more items than places.
    """
    sizes = tuple(len(centroid_VD) for centroid_VD in centroids)
    places = prod(sizes) * cap
    if cap < 1 or codes_NM.shape[0] > places:
        raise BadDataSet(
            f"{codes_NM.shape[0]} items do not fit {'x'.join(map(str, sizes))} codes with at most {cap} "
            f"items on each ({places} places): take larger levels or a higher cap"
        )
    order_N = np.lexsort((np.arange(codes_NM.shape[0]), -popularity_N.astype(np.float64)))
    settled_NM = codes_NM.copy()
    homeless_K = _overflow(codes_NM, order_N, cap)
    stays_N = np.ones(codes_NM.shape[0], np.bool_)
    stays_N[homeless_K] = False
    with one_thread():
        for rows_K, taken_V in _crowded_prefixes(codes_NM, homeless_K, stays_N, sizes[-1]):
            residual_KD = _residual(features_ND[rows_K], codes_NM[rows_K, :-1], centroids)
            found_K = _nearest_with_room(squared_distances(residual_KD, centroids[-1]), cap - taken_V)
            housed_K = found_K >= 0
            settled_NM[rows_K[housed_K], -1] = found_K[housed_K]
            stays_N[rows_K[housed_K]] = True
        _Tree(settled_NM, stays_N, features_ND, centroids, cap).house(order_N[~stays_N[order_N]])
    return settled_NM


def _overflow(codes_NM: Int32s, order_N: Int64s, cap: int) -> Int64s:
    """Rows beyond the first `cap` of their id, in the given order."""
    _, sid_N = np.unique(codes_NM[order_N], axis=0, return_inverse=True)
    sid_N = sid_N.reshape(-1)
    grouped_N = np.argsort(sid_N, kind="stable")
    sorted_sid_N = sid_N[grouped_N]
    rank_N = np.empty(order_N.size, np.int64)
    rank_N[grouped_N] = np.arange(order_N.size) - np.searchsorted(sorted_sid_N, sorted_sid_N)
    return order_N[rank_N >= cap]


def _crowded_prefixes(
    codes_NM: Int32s, homeless_K: Int64s, stays_N: npt.NDArray[np.bool_], last_size: int
) -> Iterator[tuple[Int64s, Int64s]]:
    """Per prefix with homeless items: their rows in the order given, how many items each last code holds."""
    _, prefix_N = np.unique(codes_NM[:, :-1], axis=0, return_inverse=True)
    prefix_N = prefix_N.reshape(-1)
    member_N = np.argsort(prefix_N, kind="stable")
    start_P = np.searchsorted(prefix_N[member_N], np.arange(prefix_N.max(initial=-1) + 2))
    homeless_K = homeless_K[np.argsort(prefix_N[homeless_K], kind="stable")]
    crowded, first = np.unique(prefix_N[homeless_K], return_index=True)
    for prefix, rows_K in zip(crowded, np.split(homeless_K, first[1:]), strict=False):
        members = member_N[start_P[prefix] : start_P[prefix + 1]]
        yield rows_K, np.bincount(codes_NM[members[stays_N[members]], -1], minlength=last_size)


def _nearest_with_room(distance_KV: Float32s, room_V: Int64s) -> Int64s:
    """Row by row the nearest code that still has room, Int64[K]; -1 where none has."""
    left_V = room_V.copy()
    open_KV = np.where(left_V > 0, distance_KV, np.inf)
    found_K = np.full(distance_KV.shape[0], -1, np.int64)
    for row in range(min(distance_KV.shape[0], int(left_V.sum()))):
        code = int(open_KV[row].argmin())
        found_K[row] = code
        left_V[code] -= 1
        if left_V[code] == 0:
            open_KV[:, code] = np.inf
    return found_K


def _residual(features_KD: Float32s, prefix_KL: Int32s, centroids: Sequence[Float32s]) -> Float32s:
    """What the codes of a prefix leave of the features, Float32[K, D]."""
    residual_KD = features_KD.copy()
    for level in range(prefix_KL.shape[1]):
        residual_KD -= centroids[level][prefix_KL[:, level]]
    return residual_KD


class _Tree:
    """How many settled items each part of the code tree holds: counted when asked, then kept current."""

    def __init__(
        self,
        settled_NM: Int32s,
        stays_N: npt.NDArray[np.bool_],
        features_ND: Float32s,
        centroids: Sequence[Float32s],
        cap: int,
    ) -> None:
        self._settled_NM = settled_NM
        self._stays_N = stays_N
        self._features_ND = features_ND
        self._centroids = centroids
        sizes = [len(centroid_VD) for centroid_VD in centroids]
        self._room_below = [prod(sizes[level + 1 :]) * cap for level in range(len(sizes))]
        self._children: dict[Prefix, Int64s] = {}

    def house(self, rows_K: Int64s) -> None:
        """Give each row, in the order given, a place outside its full prefix."""
        for row in rows_K.tolist():
            prefix: Prefix = tuple(self._settled_NM[row, :-1].tolist())
            while not self._room(prefix).any():
                prefix = prefix[:-1]
            self._descend(row, prefix)

    def _descend(self, row: int, prefix: Prefix) -> None:
        for level in range(len(prefix), len(self._centroids)):
            prefix_1L = np.asarray([prefix], np.int32).reshape(1, level)
            residual_1D = _residual(self._features_ND[row : row + 1], prefix_1L, self._centroids)
            distance_V = squared_distances(residual_1D, self._centroids[level])[0]
            code = int(np.where(self._room(prefix), distance_V, np.inf).argmin())
            prefix = (*prefix, code)
        # Counts first: a part that is counted after this would see the row already.
        for level in range(len(prefix)):
            self._count(prefix[:level])[prefix[level]] += 1
        self._settled_NM[row] = prefix
        self._stays_N[row] = True

    def _room(self, prefix: Prefix) -> npt.NDArray[np.bool_]:
        """Which codes after the prefix still lead to a free place, Bool[V]."""
        room_V: npt.NDArray[np.bool_] = self._count(prefix) < self._room_below[len(prefix)]
        return room_V

    def _count(self, prefix: Prefix) -> Int64s:
        if prefix not in self._children:
            level = len(prefix)
            under_N = self._stays_N & (self._settled_NM[:, :level] == np.asarray(prefix, np.int32)).all(axis=1)
            self._children[prefix] = np.bincount(
                self._settled_NM[under_N, level], minlength=len(self._centroids[level])
            )
        return self._children[prefix]
