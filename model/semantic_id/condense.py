"""Truncated SVD of a sparse matrix, as the text and co-occurrence features use it."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD

from model.semantic_id.one_thread import one_thread
from model.semantic_id.unit_rows import Float32s

POWER_ITERATIONS = 4
# A direction this weak is rounding noise of the factorisation.
NO_STRENGTH = 1e-6


def condense(matrix_NF: sp.csr_matrix, dims: int, seed: int, *, power: float = 1.0) -> Float32s:
    """Left singular vectors times singular values ** power, Float32[N, dims]; zero beyond the rank."""
    condensed_ND = np.zeros((matrix_NF.shape[0], dims), np.float32)
    svd = _svd(matrix_NF, dims, seed)
    with one_thread(), _no_variance_allowed():
        scores_NR = svd.fit_transform(matrix_NF)
    strength_R = svd.singular_values_
    scale_R = np.where(strength_R > NO_STRENGTH, np.maximum(strength_R, NO_STRENGTH) ** (power - 1.0), 0.0)
    condensed_ND[:, : strength_R.size] = scores_NR * scale_R
    return condensed_ND


def principal_directions(matrix_NF: sp.csr_matrix, dims: int, seed: int) -> Float32s:
    """Right singular vectors, strongest first, Float32[F, dims]; zero beyond the rank."""
    directions_FD = np.zeros((matrix_NF.shape[1], dims), np.float32)
    svd = _svd(matrix_NF, dims, seed)
    with one_thread(), _no_variance_allowed():
        svd.fit(matrix_NF)
    strength_R = svd.singular_values_
    directions_FD[:, : strength_R.size] = svd.components_.T * (strength_R > NO_STRENGTH)
    return directions_FD


def _svd(matrix_NF: sp.csr_matrix, dims: int, seed: int) -> TruncatedSVD:
    return TruncatedSVD(n_components=min(dims, *matrix_NF.shape), n_iter=POWER_ITERATIONS, random_state=seed)


def _no_variance_allowed() -> np.errstate:
    """Rows that are all alike, or one alone: scikit-learn divides 0 by 0 for a share of variance nobody reads."""
    return np.errstate(invalid="ignore")
