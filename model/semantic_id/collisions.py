"""Move items out of crowded semantic ids until none holds more than a cap, in the manner of FORGE.

Called when a bundle is built, and when items join its catalogue.  Prefixes stay semantic: an item leaves its prefix
only when that is full.
"""

# Shapes: N items, T items that are there already, D dimensions, M levels, V codes of a level, K items in question.

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
# A code that fills up is struck from the rows that follow: few rows at once stay in the processor's cache.
ROWS_AT_ONCE = 512


def settle_collisions(
    codes_NM: Int32s,
    features_ND: Float32s,
    centroids: Sequence[Float32s],
    popularity_N: Float32s,
    cap: int,
    taken_TM: Int32s | None = None,
) -> Int32s:
    """Codes under which every semantic id holds at most `cap` items, Int32[N, M].

    1. The `cap` most popular items of each id keep it (ties: the lower row).  FORGE (arXiv 2509.20904) keeps
       random ones; the popular ones are those whose place matters, and the choice needs no seed.
    2. The others, most popular first, take the nearest last-level code with room and keep the codes before.
    3. Items whose prefix is completely full give up one more code at a time, from the right, until a part of
       the tree has room, and there take the nearest code with room at each level.  Parts near the leaves are
       filled first, most popular items first.

    taken_TM: codes of items that nobody moves, however many share an id; what they take is no room.
    Raises BadDataSet where there are more items than places.
    """
    sizes = tuple(len(centroid_VD) for centroid_VD in centroids)
    new, levels = codes_NM.shape
    taken_TM = np.empty((0, levels), np.int32) if taken_TM is None else first_of_each_id(taken_TM, cap)
    check_room(new + len(taken_TM), sizes, cap)
    # New items first: their rows are then rows of the features too, which nobody needs of the others.
    all_AM = np.concatenate([codes_NM, taken_TM])
    order_N = np.lexsort((np.arange(new), -popularity_N.astype(np.float64)))
    homeless_K = _overflow(all_AM, np.concatenate([np.arange(new, len(all_AM)), order_N]), cap)
    stays_A = np.ones(len(all_AM), np.bool_)
    stays_A[homeless_K] = False
    settled_AM = all_AM.copy()
    with one_thread():
        for rows_K, held_V in _crowded_prefixes(all_AM, homeless_K, stays_A, sizes[-1]):
            residual_KD = _residual(features_ND[rows_K], all_AM[rows_K, :-1], centroids)
            found_K = _nearest_with_room(residual_KD, centroids[-1], cap - held_V)
            housed_K = found_K >= 0
            settled_AM[rows_K[housed_K], -1] = found_K[housed_K]
            stays_A[rows_K[housed_K]] = True
        _Tree(settled_AM, stays_A, features_ND, centroids, cap).house(order_N[~stays_A[order_N]])
    settled_NM: Int32s = settled_AM[:new]
    return settled_NM


def first_of_each_id(codes_TM: Int32s, cap: int) -> Int32s:
    """The codes less those beyond the first `cap` of their id: as many as take room.  Int32[<= T, M]."""
    kept_T = np.ones(len(codes_TM), np.bool_)
    kept_T[_overflow(codes_TM, np.arange(len(codes_TM)), cap)] = False
    return codes_TM[kept_T]


def check_room(items: int, level_sizes: Sequence[int], cap: int) -> None:
    """Raise BadDataSet where so many items have no place; long work asks before it begins, not after it."""
    places = prod(level_sizes) * cap
    if cap < 1 or items > places:
        raise BadDataSet(
            f"{items} items do not fit {'x'.join(map(str, level_sizes))} codes with at most {cap} "
            f"items on each ({places} places): take larger levels or a higher cap"
        )


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


def _nearest_with_room(points_KD: Float32s, centroid_VD: Float32s, room_V: Int64s) -> Int64s:
    """Row by row the nearest code that still has room, Int64[K]; -1 where none has."""
    left_V = room_V.copy()
    found_K = np.full(points_KD.shape[0], -1, np.int64)
    most = min(points_KD.shape[0], int(left_V.sum()))
    for first in range(0, most, ROWS_AT_ONCE):
        distance_kV = squared_distances(points_KD[first : min(first + ROWS_AT_ONCE, most)], centroid_VD)
        distance_kV[:, left_V <= 0] = np.inf
        for place, distance_V in enumerate(distance_kV):
            code = int(distance_V.argmin())
            found_K[first + place] = code
            left_V[code] -= 1
            if left_V[code] == 0:
                distance_kV[place + 1 :, code] = np.inf
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
        self._features_ND = features_ND
        self._centroids = centroids
        sizes = [len(centroid_VD) for centroid_VD in centroids]
        # Places below a code of each level, less the cap: also what a code is worth in an id read as one number.
        self._below = [prod(sizes[level + 1 :]) for level in range(len(sizes))]
        self._room_below = [below * cap for below in self._below]
        self._sorted_S = np.sort(settled_NM[stays_N].astype(np.int64) @ np.asarray(self._below, np.int64))
        self._children: dict[Prefix, Int64s] = {}

    def house(self, rows_K: Int64s) -> None:
        """Give each row a place outside its full prefix: within the nearest ancestor that has room, in the order given.

        Ancestors near the leaves are filled first; who finds no room in one goes on to the next above.
        """
        for length in range(len(self._centroids) - 2, -1, -1):
            waiting = []
            prefix_KL = self._settled_NM[rows_K, :length]
            _, group_K = np.unique(prefix_KL, axis=0, return_inverse=True)
            group_K = group_K.reshape(-1) if length else np.zeros(rows_K.size, np.int64)
            for members in _groups(group_K):
                prefix: Prefix = tuple(prefix_KL[members[0]].tolist())
                fits = min(len(members), int(self._room(prefix).sum()))
                # Counted before anything below them is placed, for the count knows only what was settled at first.
                for level in range(length):
                    self._count(prefix[:level])[prefix[level]] += fits
                self._place(rows_K[members[:fits]], prefix)
                waiting.append(members[fits:])
            left = np.sort(np.concatenate([np.zeros(0, np.int64), *waiting]))
            rows_K = rows_K[left]

    def _place(self, rows_K: Int64s, prefix: Prefix) -> None:
        """Settle rows, in the order given, below a prefix with room for all of them."""
        level = len(prefix)
        if level == len(self._centroids) or not rows_K.size:
            return
        prefix_KL = np.broadcast_to(np.asarray(prefix, np.int32), (rows_K.size, level))
        residual_KD = _residual(self._features_ND[rows_K], prefix_KL, self._centroids)
        code_K = _nearest_with_room(residual_KD, self._centroids[level], self._room(prefix))
        self._settled_NM[rows_K, level] = code_K
        self._children[prefix] += np.bincount(code_K, minlength=len(self._centroids[level]))
        for members in _groups(code_K):
            self._place(rows_K[members], (*prefix, int(code_K[members[0]])))

    def _room(self, prefix: Prefix) -> Int64s:
        """Free places below each code after the prefix, Int64[V]."""
        return self._room_below[len(prefix)] - self._count(prefix)

    def _count(self, prefix: Prefix) -> Int64s:
        if prefix not in self._children:
            level, size = len(prefix), len(self._centroids[len(prefix)])
            below = self._below[level]
            start = sum(code * worth for code, worth in zip(prefix, self._below, strict=False))
            bound_V1 = np.searchsorted(self._sorted_S, start + below * np.arange(size + 1, dtype=np.int64))
            self._children[prefix] = np.diff(bound_V1)
        return self._children[prefix]


def _groups(key_K: Int64s) -> list[Int64s]:
    """Places of equal keys, rising within each group."""
    order_K = np.argsort(key_K, kind="stable")
    starts = np.flatnonzero(np.diff(key_K[order_K])) + 1
    return [members for members in np.split(order_K, starts) if members.size]
