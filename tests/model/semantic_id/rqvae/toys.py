"""A market of groups, for quantisers to find."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GROUPS, PER_GROUP, DIMS = 8, 40, 16


def grouped_features(seed: int = 0, spread: float = 0.15) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Float32[320, 16] around eight well separated centres, and the group of each row."""
    chance = np.random.default_rng(seed)
    centre_GD = chance.standard_normal((GROUPS, DIMS))
    group_N = np.repeat(np.arange(GROUPS), PER_GROUP)
    return (centre_GD[group_N] + spread * chance.standard_normal((group_N.size, DIMS))).astype(np.float32), group_N


def pairs_within_groups(group_N: npt.NDArray[np.int64], seed: int = 0) -> npt.NDArray[np.int64]:
    """Int64[P, 2]: neighbours of one group."""
    rows = np.arange(group_N.size)
    partner = rows - rows % PER_GROUP + np.random.default_rng(seed).integers(0, PER_GROUP, rows.size)
    pairs_P2: npt.NDArray[np.int64] = np.column_stack([rows, partner])[rows != partner]
    return pairs_P2
