"""Condensing a sparse matrix: also where there is nothing to tell rows apart by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp

from model.semantic_id.condense import condense, principal_directions

# Shapes: N rows, F columns, D dimensions.


@pytest.mark.parametrize("row_NF", [[[1.0, 2.0]], [[1.0, 2.0]] * 3], ids=["one row", "equal rows"])
def test_rows_without_variance_lie_on_one_direction_and_nothing_warns(row_NF: npt.ArrayLike) -> None:
    matrix_NF = sp.csr_matrix(np.asarray(row_NF))
    condensed_ND = condense(matrix_NF, 2, seed=0)
    directions_FD = principal_directions(matrix_NF, 2, seed=0)
    np.testing.assert_allclose(np.linalg.norm(condensed_ND, axis=1), np.sqrt(5), rtol=1e-5)
    np.testing.assert_allclose(np.abs(directions_FD[:, 0]), np.asarray([1, 2]) / np.sqrt(5), rtol=1e-5)
    assert not directions_FD[:, 1].any()
