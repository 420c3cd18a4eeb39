"""A trained RQ-VAE, frozen: encoder, code vectors and decoder as numpy arrays.

One of the quantisers (`model/semantic_id/quantiser.py`); `train.py` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from contracts.errors import BadBundle
from model.semantic_id.finite import finite
from model.semantic_id.nearest import nearest
from model.semantic_id.one_thread import one_thread
from model.semantic_id.quantiser import Arrays, Float32s, Int32s

# Shapes: N items, A inputs, B outputs, H hidden units, D dimensions of features, Z of the latent space, M levels.
# Items per pass through encoder or decoder: a batch of 4,096 by 256 hidden units is 4 MiB.
ITEMS_AT_ONCE = 4_096
_PARTS = ("skip", "into", "into_bias", "out", "out_bias")


@dataclass(frozen=True, slots=True, eq=False)
class Perceptron:
    """x -> skip x + out relu(into x + into_bias) + out_bias.

    skip Float32[B, A], into [H, A], into_bias [H], out [B, H], out_bias [B].
    """

    skip: Float32s
    into: Float32s
    into_bias: Float32s
    out: Float32s
    out_bias: Float32s

    @property
    def shape(self) -> tuple[int, int]:
        """A, B."""
        return int(self.skip.shape[1]), int(self.skip.shape[0])

    def __call__(self, rows_NA: Float32s) -> Float32s:
        """Float32[N, B]."""
        made_NB = np.empty((len(rows_NA), self.shape[1]), np.float32)
        with one_thread():
            for start in range(0, len(rows_NA), ITEMS_AT_ONCE):
                rows_nA = rows_NA[start : start + ITEMS_AT_ONCE]
                hidden_nH = np.maximum(rows_nA @ self.into.T + self.into_bias, 0.0)
                made_NB[start : start + len(rows_nA)] = rows_nA @ self.skip.T + hidden_nH @ self.out.T + self.out_bias
        return made_NB

    def to_arrays(self, name: str) -> dict[str, Float32s]:
        """Its parts, each under `name.PART`."""
        return {f"{name}.{part}": getattr(self, part) for part in _PARTS}

    @classmethod
    def from_arrays(cls, arrays: Arrays, name: str) -> Self:
        """Read what `to_arrays` gave.  Raises BadBundle for missing parts and for shapes that do not fit."""
        try:
            parts = [np.asarray(arrays[f"{name}.{part}"], np.float32) for part in _PARTS]
        except KeyError as error:
            raise BadBundle(f"the quantiser lacks {error.args[0]}") from None
        skip, into, into_bias, out, out_bias = parts
        if [part.ndim for part in parts] != [2, 2, 1, 2, 1] or not (
            into.shape == (len(into_bias), skip.shape[1]) and out.shape == (len(out_bias), len(into_bias))
            and len(skip) == len(out_bias)
        ):  # fmt: skip
            raise BadBundle(f"the quantiser's {name} has parts that do not fit each other")
        return cls(*parts)


@dataclass(frozen=True, slots=True, eq=False)
class RqVae:
    """Encoder D -> Z, one Float32[V_l, Z] of code vectors per level, decoder Z -> D.

    A code is the nearest vector to what the levels before left of the encoding.
    """

    encoder: Perceptron
    code_vectors: tuple[Float32s, ...]
    decoder: Perceptron

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """Codes per level."""
        return tuple(len(rows) for rows in self.code_vectors)

    @property
    def dims(self) -> int:
        """D."""
        return self.encoder.shape[0]

    @property
    def codebooks(self) -> tuple[Float32s, ...]:
        """The code vectors."""
        return self.code_vectors

    def latent(self, features_ND: Float32s) -> Float32s:
        """Encodings, Float32[N, Z].  Raises BadDataSet for features that are not finite."""
        return self.encoder(finite(features_ND))

    def encode(self, features_ND: Float32s) -> Int32s:
        """Codes, Int32[N, M]; ties go to the lower code.  Raises BadDataSet for features that are not finite."""
        rest_NZ = self.latent(features_ND)
        codes_NM = np.empty((len(rest_NZ), len(self.code_vectors)), np.int32)
        for level, vector_VZ in enumerate(self.code_vectors):
            codes_NM[:, level] = nearest(rest_NZ, vector_VZ)
            rest_NZ -= vector_VZ[codes_NM[:, level]]
        return codes_NM

    def decode(self, codes_NM: Int32s) -> Float32s:
        """What the decoder makes of the codes' vectors, Float32[N, D]."""
        summed_NZ = np.zeros((len(codes_NM), self.encoder.shape[1]), np.float32)
        for level, vector_VZ in enumerate(self.code_vectors):
            summed_NZ += vector_VZ[codes_NM[:, level]]
        return self.decoder(summed_NZ)

    def to_arrays(self) -> dict[str, Float32s]:
        """State by name: encoder.*, decoder.*, and `codebooks.1` ... `codebooks.m`."""
        vectors = {f"codebooks.{level}": rows for level, rows in enumerate(self.code_vectors, start=1)}
        return self.encoder.to_arrays("encoder") | vectors | self.decoder.to_arrays("decoder")

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Read what `to_arrays` gave.  Raises BadBundle for anything else, and for values that are not finite."""
        encoder, decoder = Perceptron.from_arrays(arrays, "encoder"), Perceptron.from_arrays(arrays, "decoder")
        levels = len(arrays) - 2 * len(_PARTS)
        names = [f"codebooks.{level}" for level in range(1, levels + 1)]
        if not names or not set(names) <= set(arrays):
            raise BadBundle(
                f"the quantiser holds {sorted(arrays)}, not codebooks.1 to codebooks.m beside both networks"
            )
        vectors = tuple(np.asarray(arrays[name], np.float32) for name in names)
        dims, latent = encoder.shape
        if decoder.shape != (latent, dims) or any(rows.shape[1:] != (latent,) or not len(rows) for rows in vectors):
            raise BadBundle("the quantiser's encoder, code vectors and decoder do not fit each other")
        if not all(np.isfinite(array.astype(np.float32)).all() for array in arrays.values()):
            raise BadBundle("the quantiser holds values that are not finite")
        return cls(encoder, vectors, decoder)
