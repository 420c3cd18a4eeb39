"""The frozen RQ-VAE: read as written, refused where damaged, and free of torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from contracts.errors import BadBundle, BadDataSet
from model.semantic_id.quantisers import read_quantiser
from model.semantic_id.residual_kmeans import ResidualKMeans
from model.semantic_id.rqvae.frozen import Perceptron, RqVae

Arrays = dict[str, npt.NDArray[np.float32]]


def some_perceptron(inputs: int, outputs: int, seed: int) -> Perceptron:
    chance = np.random.default_rng(seed)
    shapes = ((outputs, inputs), (7, inputs), (7,), (outputs, 7), (outputs,))
    return Perceptron(*(chance.standard_normal(shape).astype(np.float32) for shape in shapes))


def some_rqvae() -> RqVae:
    chance = np.random.default_rng(9)
    vectors = tuple(chance.standard_normal((size, 3)).astype(np.float32) for size in (5, 4))
    return RqVae(some_perceptron(6, 3, 0), vectors, some_perceptron(3, 6, 1))


MADE = some_rqvae()
FEATURES_ND = np.random.default_rng(2).standard_normal((5000, 6)).astype(np.float32)


def test_a_perceptron_computes_what_its_formula_says() -> None:
    made = MADE.encoder
    rows_NA = FEATURES_ND.astype(np.float64)
    hidden_NH = np.maximum(rows_NA @ made.into.T + made.into_bias, 0)
    wanted_NB = rows_NA @ made.skip.T + hidden_NH @ made.out.T + made.out_bias
    np.testing.assert_allclose(made(FEATURES_ND), wanted_NB, atol=1e-4)


def test_codes_are_the_nearest_of_what_the_levels_before_left() -> None:
    latent_NZ = MADE.latent(FEATURES_ND)
    codes_NM = MADE.encode(FEATURES_ND)
    for row in range(0, 5000, 97):
        rest_Z = latent_NZ[row].astype(np.float64)
        for level, vector_VZ in enumerate(MADE.code_vectors):
            assert codes_NM[row, level] == ((vector_VZ - rest_Z) ** 2).sum(1).argmin()
            rest_Z = rest_Z - vector_VZ[codes_NM[row, level]]


def test_the_arrays_tell_which_quantiser_it_is() -> None:
    again = read_quantiser(MADE.to_arrays())
    np.testing.assert_array_equal(again.encode(FEATURES_ND), MADE.encode(FEATURES_ND))
    assert (again.dims, again.level_sizes) == (6, (5, 4))
    other = ResidualKMeans.fit(FEATURES_ND[:100], (4, 4), 0)
    found = read_quantiser(other.to_arrays())
    np.testing.assert_array_equal(found.encode(FEATURES_ND), other.encode(FEATURES_ND))
    with pytest.raises(BadBundle, match="is empty"):
        read_quantiser({})


def without(name: str) -> Arrays:
    return {key: array for key, array in MADE.to_arrays().items() if key != name}


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        (without("encoder.out"), "lacks encoder.out"),
        (without("codebooks.1"), "not codebooks.1 to codebooks.m"),
        (MADE.to_arrays() | {"codebooks.4": np.zeros((2, 3), np.float32)}, "not codebooks.1 to codebooks.m"),
        (MADE.to_arrays() | {"codebooks.2": np.zeros((2, 4), np.float32)}, "do not fit each other"),
        (MADE.to_arrays() | {"decoder.out_bias": np.zeros(5, np.float32)}, "decoder has parts that do not fit"),
        (MADE.to_arrays() | {"encoder.skip": np.zeros((3, 9), np.float32)}, "encoder has parts that do not fit"),
        (MADE.to_arrays() | {"codebooks.2": np.full((2, 3), np.nan, np.float32)}, "not finite"),
    ],
)
def test_damaged_state_is_refused(arrays: Arrays, complaint: str) -> None:
    with pytest.raises(BadBundle, match=complaint):
        read_quantiser(arrays)


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(BadDataSet, match="1 of 2 items"):
        MADE.encode(np.asarray([[1, 2, 3, 4, 5, np.inf], [0] * 6], np.float32))


def test_reading_and_encoding_need_no_torch() -> None:
    code = "import sys, model.semantic_id.quantisers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
