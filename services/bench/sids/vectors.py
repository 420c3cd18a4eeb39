"""Item vectors as real catalogues have them: families of groups of items, of very unequal sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

# Shapes: N items, D dimensions, F families, G groups.
Float32s = npt.NDArray[np.float32]

FAMILIES = 300
ITEMS_PER_GROUP = 50
# Deviation of groups around their family, and of items around their group; families lie 1 apart.
GROUP_SPREAD, ITEM_SPREAD = 0.7, 0.7
# Exponent of the sizes: the second largest family has 2 ** -SKEW of the first one's items.
SKEW = 0.8
ROWS_AT_ONCE = 50_000


def make_vectors(items: int, dims: int, seed: int, advance: Callable[[int], None]) -> Float32s:
    """Unit rows, Float32[N, D]; the same seed gives the same ones."""
    chance = np.random.default_rng(seed)
    groups = max(1, items // ITEMS_PER_GROUP)
    family_FD = chance.standard_normal((FAMILIES, dims), np.float32)
    group_GD = family_FD[_unequal(chance, FAMILIES, groups)]
    group_GD += np.float32(GROUP_SPREAD) * chance.standard_normal((groups, dims), np.float32)
    vectors_ND = np.empty((items, dims), np.float32)
    for start in range(0, items, ROWS_AT_ONCE):
        part_nD = vectors_ND[start : start + ROWS_AT_ONCE]
        chance.standard_normal(dtype=np.float32, out=part_nD)
        part_nD *= np.float32(ITEM_SPREAD)
        part_nD += group_GD[_unequal(chance, groups, len(part_nD))]
        part_nD /= np.linalg.norm(part_nD, axis=1, keepdims=True)
        advance(len(part_nD))
    return vectors_ND


def _unequal(chance: np.random.Generator, places: int, draws: int) -> npt.NDArray[np.int64]:
    weight = np.arange(1, places + 1, dtype=np.float64) ** -SKEW
    return chance.choice(places, draws, p=weight / weight.sum()).astype(np.int64)
