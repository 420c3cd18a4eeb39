"""What stands in for the co-occurrence of an item that no history has yet: that of the items with the likest texts.

Fitted with the features, and kept with them for new items.  Without it a new item has no co-occurrence at all, and
lands among the codes of items that nobody ever saw together with another: codes that no training has taught.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from contracts.errors import BadBundle
from model.semantic_id.unit_rows import Float32s, unit_rows

# Shapes: P items that are kept, K new items, T dimensions of a text, H of co-occurrence.
Float16s = npt.NDArray[np.float16]
# Each costs room in the bundle, and those that few histories have say least.
MOST_KEPT = 2**16
ASKED = 10
# Against the division by zero; and texts nearer to each other than this are one text.
CLOSEST = 1e-5
ROWS_AT_ONCE = 256
NEIGHBOURS = ("neighbours.text", "neighbours.history")


@dataclass(frozen=True, slots=True, eq=False)
class TextNeighbours:
    """Unit rows of items that have a text and a history: text Float16[P, T], history Float16[P, H]."""

    text: Float16s
    history: Float16s

    @classmethod
    def of(cls, text_NT: Float32s, history_NH: Float32s, seen_N: npt.NDArray[np.integer]) -> Self:
        """Of all items, those with both; where they are too many, the ones that stand in histories most often."""
        both_P = np.flatnonzero(text_NT.any(axis=1) & history_NH.any(axis=1))
        kept_P = np.sort(both_P[np.argsort(-seen_N[both_P], kind="stable")[:MOST_KEPT]])
        return cls(text_NT[kept_P].astype(np.float16), history_NH[kept_P].astype(np.float16))

    def history_of(self, text_KT: Float32s) -> Float32s:
        """Unit rows, Float32[K, H]: the mean of the nearest items', weighed by (1 - cosine)^-2.

        Zero where a text is zero, or nothing is kept.  Ties go to the lower row.
        """
        found_KH = np.zeros((len(text_KT), self.history.shape[1]), np.float32)
        if not len(self.text):
            return found_KH
        kept_PT, history_PH = unit_rows(self.text.astype(np.float32)), self.history.astype(np.float32)
        for first in range(0, len(text_KT), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            # Rounded like those that are kept: equal texts then have a cosine of one.
            asked_kT = unit_rows(text_KT[rows].astype(np.float16).astype(np.float32))
            cosine_kP = asked_kT @ kept_PT.T
            near_kA = np.argsort(-cosine_kP, axis=1, kind="stable")[:, :ASKED]
            far_kA = np.maximum(1 - np.take_along_axis(cosine_kP, near_kA, axis=1), 0) + CLOSEST
            found_KH[rows] = np.einsum("ka,kah->kh", far_kA**-2, history_PH[near_kA])
        found_KH[~text_KT.any(axis=1)] = 0
        return unit_rows(found_KH)

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """State by name: neighbours.text, neighbours.history."""
        return dict(zip(NEIGHBOURS, (self.text, self.history), strict=True))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]], text_dims: int, history_dims: int) -> Self:
        """Read what `to_arrays` gave.  Raises BadBundle for anything else."""
        named = zip(NEIGHBOURS, (text_dims, history_dims), strict=True)
        text, history = (_checked(arrays, name, dims) for name, dims in named)
        if len(text) != len(history):
            raise BadBundle("the item features' neighbours.text and neighbours.history differ in number")
        return cls(text, history)


def _checked(arrays: Mapping[str, npt.NDArray[np.generic]], name: str, dims: int) -> Float16s:
    array = arrays.get(name)
    if array is None:
        raise BadBundle(f"the item features lack {name}")
    if array.dtype != np.float16 or array.ndim != 2 or array.shape[1] != dims:
        raise BadBundle(f"the item features' {name} must be float16 with {dims} columns")
    if not np.isfinite(array).all():
        raise BadBundle(f"the item features' {name} holds values that are not finite")
    return array.astype(np.float16, copy=False)
