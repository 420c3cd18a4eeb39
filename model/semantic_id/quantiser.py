"""What every quantiser promises: feature vectors become codes, coarse to fine, and codes become vectors again.

Residual k-means and the RQ-VAE keep it.  Frozen once fitted; nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

# Shapes: N items, D feature dimensions, Z dimensions in which codes are chosen, V codes of a level, M levels.
Float32s = npt.NDArray[np.float32]
Int32s = npt.NDArray[np.int32]
Arrays = Mapping[str, npt.NDArray[np.generic]]


class Quantiser(Protocol):
    """Codes are the nearest code vectors in the latent space, level by level, each of what the levels before left.

    Ties go to the lower code.
    """

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """V_1..V_M."""
        ...

    @property
    def dims(self) -> int:
        """D."""
        ...

    @property
    def codebooks(self) -> tuple[Float32s, ...]:
        """Code vectors of each level, Float32[V, Z]."""
        ...

    def latent(self, features_ND: Float32s) -> Float32s:
        """Where features lie in the space of the code vectors, Float32[N, Z].  Raises BadDataSet for NaNs."""
        ...

    def encode(self, features_ND: Float32s) -> Int32s:
        """Codes, Int32[N, M].  Raises BadDataSet, with their number, for features that are not finite."""
        ...

    def decode(self, codes_NM: Int32s) -> Float32s:
        """What codes say of an item's features, Float32[N, D]."""
        ...

    def to_arrays(self) -> dict[str, Float32s]:
        """State by name, for a safetensors file; `model.semantic_id.quantisers` reads it back."""
        ...
