"""Which quantisers there are, and which of them a file of arrays holds."""

from __future__ import annotations

from contracts.errors import BadBundle
from model.semantic_id.quantiser import Arrays, Quantiser
from model.semantic_id.residual_kmeans import ResidualKMeans


def read_quantiser(arrays: Arrays) -> Quantiser:
    """The quantiser that `to_arrays` was called on.  Raises BadBundle for anything else."""
    if not arrays:
        raise BadBundle("the quantiser is empty")
    return ResidualKMeans.from_arrays(arrays)
