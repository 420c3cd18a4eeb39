"""Item texts as vectors: topics of their words, sketches of their categories, an angle for their price.

Fitted when semantic ids are made, and kept with them for new items.  A sentence encoder, where one is given, takes
the place of the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from contracts.errors import BadBundle, BadDataSet
from model.semantic_id.facet_sketch import FacetSketch, Segments, segments_of
from model.semantic_id.price_facet import PriceScale, split_prices
from model.semantic_id.sentence_encoder import SentenceEncoder
from model.semantic_id.sentence_topics import SentenceTopics
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

    topics: WordTopics | SentenceTopics
    facets: FacetSketch | None
    prices: PriceScale | None
    encoder: SentenceEncoder | None = None

    @classmethod
    def fit(cls, texts: Sequence[str], dims: int, seed: int, encoder: SentenceEncoder | None = None) -> Self:
        """Learn words, categories where nearly all texts have one (half of the dimensions), and prices (two)."""
        return cls.fit_transform(texts, dims, seed, encoder)[0]

    @classmethod
    def fit_transform(
        cls, texts: Sequence[str], dims: int, seed: int, encoder: SentenceEncoder | None = None
    ) -> tuple[Self, Float32s]:
        """`fit`, and the rows that `transform` gives the same texts, in one reading of them."""
        read = _ReadTexts.of(texts, encoder)
        prices = PriceScale.fit(read.price_N) if dims > PRICE_DIMS else None
        dims -= PRICE_DIMS if prices else 0
        facets = FacetSketch.fit(read.segments, dims // 2, seed) if dims > 1 else None
        topic_dims = dims - (dims // 2 if facets else 0)
        topics: WordTopics | SentenceTopics
        if encoder is not None and read.vectors_NH is not None:
            topics = SentenceTopics.fit(read.vectors_NH, topic_dims, encoder.fingerprint)
        else:
            topics = WordTopics.fit(read.counts_NH, topic_dims, seed)
        fitted = cls(topics, facets, prices, encoder)
        return fitted, fitted._transform(read)

    @property
    def dims(self) -> int:
        """D: columns of the rows it gives."""
        return self.topics.dims + (self.facets.dims if self.facets else 0) + (PRICE_DIMS if self.prices else 0)

    def transform(self, texts: Sequence[str]) -> Float32s:
        """Unit rows, Float32[N, D]; a text of which nothing is known has a zero row.

        Raises BadDataSet where the topics came from a sentence encoder that is not here.
        """
        if isinstance(self.topics, SentenceTopics) and self.encoder is None:
            raise BadDataSet(
                f"texts became vectors by the sentence encoder {self.topics.fingerprint}: name its directory"
            )
        return self._transform(_ReadTexts.of(texts, self.encoder))

    def _transform(self, read: _ReadTexts) -> Float32s:
        if isinstance(self.topics, WordTopics):
            row_ND = self.topics.transform(read.counts_NH)
        elif read.vectors_NH is not None:
            row_ND = self.topics.transform(read.vectors_NH)
        if self.facets:
            row_ND = _beside(row_ND, self.facets.transform(read.segments), FACET_SHARE)
        if self.prices:
            row_ND = _beside(unit_rows(row_ND), self.prices.directions(read.price_N), PRICE_SHARE)
        return unit_rows(row_ND)

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """State by name, less `facet_names`: topics.*, and facets.* and prices.* where there are some."""
        arrays: dict[str, npt.NDArray[np.generic]] = {"topics.directions": self.topics.directions}
        if isinstance(self.topics, WordTopics):
            arrays |= {"topics.columns": self.topics.columns, "topics.idf": self.topics.idf}
        else:
            arrays["topics.mean"] = self.topics.mean
        if self.facets:
            arrays["facets.directions"] = self.facets.directions
        if self.prices:
            arrays["prices.log_range"] = np.asarray([self.prices.low, self.prices.high], np.float64)
        return arrays

    @property
    def facet_names(self) -> tuple[str, ...]:
        """The part of the state that is no array: names of the rows of `facets.directions`."""
        return self.facets.names if self.facets else ()

    @property
    def encoder_fingerprint(self) -> str:
        """Of the sentence encoder; empty where words were taken."""
        return self.topics.fingerprint if isinstance(self.topics, SentenceTopics) else ""

    @classmethod
    def from_arrays(
        cls,
        arrays: Arrays,
        facet_names: Sequence[str],
        encoder_fingerprint: str = "",
        encoder: SentenceEncoder | None = None,
    ) -> Self:
        """Read what `to_arrays`, `facet_names` and `encoder_fingerprint` gave.  Raises BadBundle for anything else.

        Without the sentence encoder they came from the features can be kept and looked at, and place no new text.
        """
        rest = dict(arrays)
        topics = _sentence_topics(rest, encoder_fingerprint) if encoder_fingerprint else _word_topics(rest)
        if encoder is not None and encoder.fingerprint != encoder_fingerprint:
            made = f"sentence encoder {encoder_fingerprint}" if encoder_fingerprint else "words, not a sentence encoder"
            raise BadBundle(f"the item features come from {made}; the one given is {encoder.fingerprint}")
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
        return cls(topics, facets, prices, encoder)


@dataclass(frozen=True, slots=True, eq=False)
class _ReadTexts:
    """Texts taken apart: the same for learning from them and for placing them."""

    counts_NH: sp.csr_matrix
    vectors_NH: Float32s | None
    segments: list[Segments]
    price_N: npt.NDArray[np.float64]

    @classmethod
    def of(cls, texts: Sequence[str], encoder: SentenceEncoder | None) -> _ReadTexts:
        words, price_N = split_prices(texts)
        vectors_NH = encoder(words) if encoder else None
        return cls(count_words([] if encoder else words), vectors_NH, [segments_of(text) for text in words], price_N)


def _word_topics(rest: dict[str, npt.NDArray[np.generic]]) -> WordTopics:
    columns = _taken(rest, "topics.columns", np.int32, 1)
    idf = _taken(rest, "topics.idf", np.float32, 1)
    directions = _taken(rest, "topics.directions", np.float16, 2)
    if not len(columns) == len(idf) == len(directions):
        raise BadBundle("the item features' columns, weights and directions differ in number")
    if columns.size and (columns[0] < 0 or columns[-1] >= HASH_PLACES or (np.diff(columns) <= 0).any()):
        raise BadBundle(f"the item features' columns must rise and lie in 0..{HASH_PLACES - 1}")
    return WordTopics(columns, idf, directions)


def _sentence_topics(rest: dict[str, npt.NDArray[np.generic]], fingerprint: str) -> SentenceTopics:
    mean = _taken(rest, "topics.mean", np.float32, 1)
    directions = _taken(rest, "topics.directions", np.float32, 2)
    if len(mean) != len(directions):
        raise BadBundle("the item features' mean and directions differ in number")
    return SentenceTopics(fingerprint, mean, directions)


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
