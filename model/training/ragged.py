"""Many short ranges as one flat array: what keeps loops over users and sessions out of the training's hot path."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# Axes: R ranges, F members of all of them.


class Members(NamedTuple):
    """Per member: the number of its range, its place in the range, and the index it stands for."""

    owner_F: Ints
    within_F: Ints
    index_F: Ints


def members(start_R: Ints, length_R: Ints) -> Members:
    """The members of the ranges start ..< start + length, range after range; lengths of 0 are allowed."""
    owner_F = np.repeat(np.arange(len(length_R)), length_R)
    before_R = np.cumsum(length_R) - length_R
    within_F = np.arange(len(owner_F)) - before_R[owner_F]
    return Members(owner_F, within_F, start_R[owner_F] + within_F)


def bounds_of(owner_F: Ints, owners: int) -> Ints:
    """Where the members of each of `owners` begin, [owners + 1], in a sorted list of owners."""
    return np.searchsorted(owner_F, np.arange(owners + 1)).astype(np.int64)
