"""The one check that every feature vector passes before it becomes codes."""

from __future__ import annotations

import numpy as np

from contracts.errors import BadDataSet
from model.semantic_id.quantiser import Float32s


def finite(features_ND: Float32s) -> Float32s:
    """The same rows as float32.  Raises BadDataSet, with their number, where rows hold NaNs or infinities."""
    # A row's sum is finite only if its values are, and takes no table of booleans; float64, so that none overflows.
    if not np.isfinite(features_ND.sum(axis=1, dtype=np.float64)).all():
        bad = int((~np.isfinite(features_ND)).any(axis=1).sum())
        raise BadDataSet(f"{bad} of {features_ND.shape[0]} items have features that are not finite")
    return np.asarray(features_ND, np.float32)
