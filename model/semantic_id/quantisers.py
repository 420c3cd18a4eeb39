"""Which quantisers there are: fitted by name, and told from the arrays that a file holds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from contracts.errors import BadBundle
from contracts.progress import Progress
from model.semantic_id.quantiser import Arrays, Float32s, Quantiser
from model.semantic_id.residual_kmeans import ResidualKMeans
from model.semantic_id.rqvae.frozen import RqVae
from model.semantic_id.settings import SidSettings


def fit_quantiser(
    features_ND: Float32s, pairs_P2: npt.NDArray[np.int64], settings: SidSettings, progress: Progress | None = None
) -> Quantiser:
    """The quantiser that the settings name.  pairs_P2: rows of items that occur together; the RQ-VAE alone reads them.

    Raises BadDataSet for no items and for features that are not finite.
    """
    if settings.last_level == "popularity":
        *sizes, last = settings.level_sizes
        return ResidualKMeans.fit(features_ND, sizes, settings.seed, progress=progress).ranked(last)
    if settings.method == "rkmeans":
        return ResidualKMeans.fit(features_ND, settings.level_sizes, settings.seed, progress=progress)
    # It brings torch.
    from model.semantic_id.rqvae.train import train_rqvae

    return train_rqvae(features_ND, pairs_P2, settings.level_sizes, settings.rqvae, settings.seed, progress)


def read_quantiser(arrays: Arrays) -> Quantiser:
    """The quantiser that `to_arrays` was called on.  Raises BadBundle for anything else."""
    if not arrays:
        raise BadBundle("the quantiser is empty")
    if any(name.startswith(("encoder.", "codebooks.")) for name in arrays):
        return RqVae.from_arrays(arrays)
    return ResidualKMeans.from_arrays(arrays)
