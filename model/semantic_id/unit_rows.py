"""Scale rows to length one; called by every feature block, so that blocks can be weighed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32s = npt.NDArray[np.float32]
# Below this a row is rounding noise of the factorisation, and scaling it up would invent a direction.
NOISE = 1e-6


def unit_rows(rows_ND: npt.NDArray[np.floating]) -> Float32s:
    """Each row divided by its Euclidean length, Float32[N, D]; rows of (nearly) no length become zero."""
    length_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return np.where(length_N1 > NOISE, rows_ND / np.maximum(length_N1, NOISE), 0.0).astype(np.float32)
