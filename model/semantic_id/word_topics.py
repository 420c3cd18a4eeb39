"""Words of item texts as topics: hashed TF-IDF of words and word pairs, condensed by a truncated SVD.

Called by the text features; what is fitted is small enough to travel in a bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.feature_extraction.text import HashingVectorizer

from model.semantic_id.condense import principal_directions
from model.semantic_id.unit_rows import Float32s, unit_rows

# Shapes: N texts, H hash places, C columns that count, D dimensions.
HASH_PLACES = 2**18
# Columns that the fewest texts have relate the fewest items, and each of them costs room in the bundle.
MOST_COLUMNS = 2**15


def count_words(texts: Sequence[str]) -> sp.csr_matrix:
    """How often each word and each pair of neighbours stands in each text: Float32[N, H], by hash."""
    if not texts:
        return sp.csr_matrix((0, HASH_PLACES), dtype=np.float32)
    vectorizer = HashingVectorizer(
        n_features=HASH_PLACES,
        ngram_range=(1, 2),
        token_pattern=r"(?u)\b\w+\b",
        alternate_sign=False,
        norm=None,
        dtype=np.float32,
    )
    return vectorizer.transform(texts)


@dataclass(frozen=True, slots=True, eq=False)
class WordTopics:
    """columns Int32[C], sorted hash places; idf Float32[C]; directions Float16[C, D] of the topics.

    Half precision, and the same halves when fitting: a bundle keeps them for new items.
    """

    columns: npt.NDArray[np.int32]
    idf: Float32s
    directions: npt.NDArray[np.float16]

    @classmethod
    def fit(cls, counts_NH: sp.csr_matrix, dims: int, seed: int) -> Self:
        """Topics of these texts; without a word in any of them every row that follows is zero."""
        items_H = np.bincount(counts_NH.indices, minlength=HASH_PLACES)
        # Stable and by falling count: among equals the lower places stay.
        most_H = np.argsort(-items_H, kind="stable")[:MOST_COLUMNS]
        columns = np.sort(most_H[items_H[most_H] > 0])
        texts = int((np.diff(counts_NH.indptr) > 0).sum())
        idf = (np.log((1 + texts) / (1 + items_H[columns])) + 1).astype(np.float32)
        directions = np.zeros((columns.size, dims), np.float16)
        if columns.size:
            directions = principal_directions(_weigh(counts_NH, columns, idf), dims, seed).astype(np.float16)
        return cls(columns.astype(np.int32), idf, directions)

    @property
    def dims(self) -> int:
        """D."""
        return int(self.directions.shape[1])

    def transform(self, counts_NH: sp.csr_matrix) -> Float32s:
        """Unit rows, Float32[N, D]; zero for a text without a word that is known."""
        return unit_rows(_weigh(counts_NH, self.columns, self.idf) @ self.directions.astype(np.float32))


def _weigh(counts_NH: sp.csr_matrix, columns: npt.NDArray[np.integer], idf: Float32s) -> sp.csr_matrix:
    """Unit rows of (1 + log count) x idf."""
    weighted_NC = counts_NH[:, columns]
    weighted_NC.data = ((1 + np.log(weighted_NC.data)) * idf[weighted_NC.indices]).astype(np.float32)
    length_N = np.sqrt(np.asarray(weighted_NC.power(2).sum(axis=1)).reshape(-1))
    weighted_NC.data /= np.repeat(length_N, np.diff(weighted_NC.indptr))
    return weighted_NC
