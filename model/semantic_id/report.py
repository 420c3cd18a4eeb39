"""How evenly semantic ids spread a catalogue: alarms, not a quality score (FORGE, arXiv 2509.20904).

Called by `rankgr sid report` and by the bundle builder's metrics.
"""

# Shapes: N items, M levels.

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt


class LevelReport(TypedDict):
    """One level; gini is over all its codes, unused ones included, so that a collapse shows."""

    size: int
    codes_used: int
    gini: float
    perplexity: float


class SidReport(TypedDict):
    """The JSON of `rankgr sid report`; gini is over the semantic ids in use."""

    levels: list[LevelReport]
    items: int
    sids_used: int
    collision_rate: float
    max_items_per_sid: int
    gini: float


def sid_report(codes_NM: npt.NDArray[np.int32], level_sizes: Sequence[int]) -> SidReport:
    """Measures of a catalogue's codes; `collision_rate`: share of items whose id has another item too."""
    _, count_S = np.unique(codes_NM, axis=0, return_counts=True)
    items = codes_NM.shape[0]
    return SidReport(
        levels=[_level(codes_NM[:, level], size) for level, size in enumerate(level_sizes)],
        items=items,
        sids_used=int(count_S.size),
        collision_rate=float(count_S[count_S > 1].sum() / max(items, 1)),
        max_items_per_sid=int(count_S.max(initial=0)),
        gini=gini(count_S),
    )


def gini(counts: npt.NDArray[np.int64]) -> float:
    """Gini coefficient of how many items each place holds: 0 all alike, towards 1 one place holds all.

    (N+1)/N - 2 sum_r x_(r) (N-r+1) / (N sum x), x sorted ascending, r from 1.  0 for nothing at all.
    """
    places, total = counts.size, counts.sum()
    if total == 0:
        return 0.0
    weight = np.arange(places, 0, -1)
    return float((places + 1) / places - 2 * (np.sort(counts) * weight).sum() / (places * total))


def perplexity(counts: npt.NDArray[np.int64]) -> float:
    """exp of the entropy: how many equally used places would be as uncertain.  0 for nothing at all."""
    used = counts[counts > 0]
    if used.size == 0:
        return 0.0
    share = used / used.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _level(codes_N: npt.NDArray[np.int32], size: int) -> LevelReport:
    count_V = np.bincount(codes_N, minlength=size)
    return LevelReport(
        size=size,
        codes_used=int((count_V > 0).sum()),
        gini=gini(count_V),
        perplexity=perplexity(count_V),
    )
