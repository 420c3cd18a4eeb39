"""Item texts as vectors: topics of their words, sketches of their categories, an angle for their price.

Fitted when a bundle is built, and kept in it for new items.  A sentence encoder, where one is given, will take
this file's place: the same `Sequence[str]` in, the same unit rows out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from contracts.errors import BadBundle
from model.semantic_id.facet_sketch import FacetSketch, Segments, segments_of
from model.semantic_id.price_facet import PriceScale, split_prices
from model.semantic_id.unit_rows import Float32s, unit_rows
from model.semantic_id.word_topics import HASH_PLACES, WordTopics, count_words

# Share of a row's squared length that its price takes: it splits a city's items and joins no two cities.
PRICE_SHARE = 0.1
PRICE_DIMS = 2
# Share of the rest that the categories take beside the words.
FACET_SHARE = 0.3

Arrays = Mapping[str, npt.NDArray[np.generic]]
Number = TypeVar("Number", np.int32, np.float16, np.float32, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class FittedTextFeatures:
    """What texts of one catalogue look like, as far as it takes to place another text among them."""

    topics: WordTopics
    facets: FacetSketch | None
    prices: PriceScale | None

    @classmethod
    def fit(cls, texts: Sequence[str], dims: int, seed: int) -> Self:
        """Learn words, categories where nearly all texts have one (half of the dimensions), and prices (two)."""
        return cls.fit_transform(texts, dims, seed)[0]

    @classmethod
    def fit_transform(cls, texts: Sequence[str], dims: int, seed: int) -> tuple[Self, Float32s]:
        """`fit`, and the rows that `transform` gives the same texts, in one reading of them."""
        read = _ReadTexts.of(texts)
        prices = PriceScale.fit(read.price_N) if dims > PRICE_DIMS else None
        dims -= PRICE_DIMS if prices else 0
        facets = FacetSketch.fit(read.segments, dims // 2, seed) if dims > 1 else None
        topics = WordTopics.fit(read.counts_NH, dims - (dims // 2 if facets else 0), seed)
        fitted = cls(topics, facets, prices)
        return fitted, fitted._transform(read)

    @property
    def dims(self) -> int:
        """D: columns of the rows it gives."""
        return self.topics.dims + (self.facets.dims if self.facets else 0) + (PRICE_DIMS if self.prices else 0)

    def transform(self, texts: Sequence[str]) -> Float32s:
        """Unit rows, Float32[N, D]; a text of which nothing is known has a zero row."""
        return self._transform(_ReadTexts.of(texts))

    def _transform(self, read: _ReadTexts) -> Float32s:
        row_ND = self.topics.transform(read.counts_NH)
        if self.facets:
            row_ND = _beside(row_ND, self.facets.transform(read.segments), FACET_SHARE)
        if self.prices:
            row_ND = _beside(unit_rows(row_ND), self.prices.directions(read.price_N), PRICE_SHARE)
        return unit_rows(row_ND)

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """State by name, less `facet_names`: topics.*, and facets.* and prices.* where there are some."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "topics.columns": self.topics.columns,
            "topics.idf": self.topics.idf,
            "topics.directions": self.topics.directions,
        }
        if self.facets:
            arrays["facets.directions"] = self.facets.directions
        if self.prices:
            arrays["prices.log_range"] = np.asarray([self.prices.low, self.prices.high], np.float64)
        return arrays

    @property
    def facet_names(self) -> tuple[str, ...]:
        """The part of the state that is no array: names of the rows of `facets.directions`."""
        return self.facets.names if self.facets else ()

    @classmethod
    def from_arrays(cls, arrays: Arrays, facet_names: Sequence[str]) -> Self:
        """Read what `to_arrays` and `facet_names` gave.  Raises BadBundle for anything else."""
        rest = dict(arrays)
        columns = _taken(rest, "topics.columns", np.int32, 1)
        idf = _taken(rest, "topics.idf", np.float32, 1)
        directions = _taken(rest, "topics.directions", np.float16, 2)
        if not len(columns) == len(idf) == len(directions):
            raise BadBundle("the item features' columns, weights and directions differ in number")
        if columns.size and (columns[0] < 0 or columns[-1] >= HASH_PLACES or (np.diff(columns) <= 0).any()):
            raise BadBundle(f"the item features' columns must rise and lie in 0..{HASH_PLACES - 1}")
        facets, prices = None, None
        if facet_names:
            facets = FacetSketch(tuple(facet_names), _taken(rest, "facets.directions", np.float16, 2))
            if len(facets.names) != len(facets.directions) or len(set(facets.names)) != len(facets.names):
                raise BadBundle("the item features' categories and their directions do not fit each other")
        if "prices.log_range" in rest:
            log_range = _taken(rest, "prices.log_range", np.float64, 1)
            if log_range.shape != (2,):
                raise BadBundle("the item features' prices.log_range must hold two numbers")
            prices = PriceScale(*log_range.tolist())
        if rest:
            raise BadBundle(f"the item features hold unknown {', '.join(sorted(rest))}")
        return cls(WordTopics(columns, idf, directions), facets, prices)


@dataclass(frozen=True, slots=True, eq=False)
class _ReadTexts:
    """Texts taken apart: the same for learning from them and for placing them."""

    counts_NH: sp.csr_matrix
    segments: list[Segments]
    price_N: npt.NDArray[np.float64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> _ReadTexts:
        words, price_N = split_prices(texts)
        return cls(count_words(words), [segments_of(text) for text in words], price_N)


def _beside(left_ND: Float32s, right_NE: Float32s, right_share: float) -> Float32s:
    """Both blocks in one row, `right_share` of the squared length for the right one."""
    weights = np.sqrt(np.asarray([1 - right_share, right_share], np.float32))
    return np.hstack([weights[0] * left_ND, weights[1] * right_NE])


def _taken(rest: dict[str, npt.NDArray[np.generic]], name: str, kind: type[Number], axes: int) -> npt.NDArray[Number]:
    """Take an array out of the rest.  Raises BadBundle where it is missing, of another kind, or not finite."""
    if name not in rest:
        raise BadBundle(f"the item features lack {name}")
    array = rest.pop(name)
    if array.dtype != kind or array.ndim != axes:
        raise BadBundle(f"the item features' {name} must be {np.dtype(kind)} with {axes} axes")
    if not np.isfinite(array).all():
        raise BadBundle(f"the item features' {name} holds values that are not finite")
    return array.astype(kind, copy=False)
