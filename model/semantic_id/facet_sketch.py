"""Categories in item texts ("Lindau, Germany | ..."), kept apart however many there are.

Called by the text features: an SVD of few dimensions spends them on the commonest words and runs thousands of
rarer cities or brands into one; a random direction per category keeps each of them whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from model.semantic_id.unit_rows import Float32s, unit_rows

FACET_SEPARATOR = "|"
# A segment that fewer items share is a title, not a category.
FEWEST_ITEMS = 5
# Below this share of items with a category the texts are prose, and dimensions are better spent on words.
LEAST_COVERAGE = 0.9

Segments = tuple[str, ...]


def segments_of(text: str) -> Segments:
    """The parts between separators, lower case, spaces evened out, each once."""
    parts = (" ".join(part.split()).lower() for part in text.split(FACET_SEPARATOR))
    return tuple(dict.fromkeys(part for part in parts if part))


@dataclass(frozen=True, slots=True, eq=False)
class FacetSketch:
    """Names of F categories, sorted, and Float16[F, D]: the direction of each, the longer the rarer it is.

    Half precision, and the same halves when fitting: a bundle keeps them for new items.
    """

    names: tuple[str, ...]
    directions: npt.NDArray[np.float16]

    @classmethod
    def fit(cls, segments_of_items: Sequence[Segments], dims: int, seed: int) -> Self | None:
        """Categories: segments that enough items share.  None unless nearly every item has one.

        The length of a direction is log(N / items that have it): what everything has says nothing.
        """
        items_of = Counter(segment for segments in segments_of_items for segment in segments)
        names = sorted(segment for segment, items in items_of.items() if items >= FEWEST_ITEMS)
        kept = set(names)
        covered = sum(1 for segments in segments_of_items if not kept.isdisjoint(segments))
        if not names or covered < LEAST_COVERAGE * len(segments_of_items):
            return None
        weight_F = np.log(len(segments_of_items) / np.asarray([items_of[name] for name in names], np.float64))
        chance_FD = np.random.default_rng(seed).standard_normal((len(names), dims)) / np.sqrt(dims)
        return cls(tuple(names), (chance_FD * weight_F[:, None]).astype(np.float16))

    @property
    def dims(self) -> int:
        """D."""
        return int(self.directions.shape[1])

    def transform(self, segments_of_items: Sequence[Segments]) -> Float32s:
        """Unit rows, Float32[N, D]: the directions of an item's categories summed; zero where it has none."""
        row_of = {name: row for row, name in enumerate(self.names)}
        rows = [[row_of[segment] for segment in segments if segment in row_of] for segments in segments_of_items]
        start_N = np.cumsum([0, *(len(own) for own in rows)])
        facet_E = np.asarray([facet for own in rows for facet in own], np.int64)
        ones_E = np.ones(facet_E.size, np.float32)
        has_NF = sp.csr_matrix((ones_E, facet_E, start_N), shape=(len(rows), len(self.names)))
        return unit_rows(has_NF @ self.directions.astype(np.float32))
