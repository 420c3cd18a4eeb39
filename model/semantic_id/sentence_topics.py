"""Sentence vectors as topics: centred, and turned onto their strongest directions.

Stands where word topics stand when a sentence encoder is given; what is fitted travels with the ids, the encoder does
not: its fingerprint does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from model.semantic_id.one_thread import one_thread
from model.semantic_id.unit_rows import Float32s, unit_rows

# Shapes: N texts, H dimensions of the encoder, D dimensions kept.


@dataclass(frozen=True, slots=True, eq=False)
class SentenceTopics:
    """fingerprint of the encoder; mean Float32[H], directions Float32[H, D]."""

    fingerprint: str
    mean: Float32s
    directions: Float32s

    @classmethod
    def fit(cls, vectors_NH: Float32s, dims: int, fingerprint: str) -> Self:
        """Principal directions of the vectors that are not zero (a text that says nothing has a zero one)."""
        told_KH = vectors_NH[vectors_NH.any(axis=1)]
        mean_H = told_KH.mean(axis=0, dtype=np.float64) if len(told_KH) else np.zeros(vectors_NH.shape[1])
        directions_HD = np.zeros((vectors_NH.shape[1], dims), np.float32)
        with one_thread():
            centred_KH = (told_KH - mean_H).astype(np.float64)
            _, vectors_HH = np.linalg.eigh(centred_KH.T @ centred_KH)
        kept = min(dims, vectors_NH.shape[1])
        directions_HD[:, :kept] = vectors_HH[:, ::-1][:, :kept]
        return cls(fingerprint, mean_H.astype(np.float32), directions_HD)

    @property
    def dims(self) -> int:
        """D."""
        return int(self.directions.shape[1])

    def transform(self, vectors_NH: Float32s) -> Float32s:
        """Unit rows, Float32[N, D]; zero for a zero vector."""
        told_N1 = vectors_NH.any(axis=1, keepdims=True)
        return unit_rows(np.where(told_N1, (vectors_NH - self.mean) @ self.directions, 0.0))
