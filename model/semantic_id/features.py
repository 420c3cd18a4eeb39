"""One vector per item from whatever is known of it: its text, the histories it stands in, or nothing at all.

Fitted when a bundle is built; the text half is kept in it, for items that come later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from contracts.errors import BadDataSet
from model.semantic_id.cooccurrence import WINDOW, cooccurrence_features
from model.semantic_id.sentence_encoder import SentenceEncoder
from model.semantic_id.text_features import FittedTextFeatures
from model.semantic_id.text_neighbours import TextNeighbours
from model.semantic_id.unit_rows import Float32s, unit_rows

# Share of the squared length that the text block takes where an item has both.
TEXT_SHARE = 0.5
# Items of which nothing is known: short, so that they claim few centroids, but not all in one point.
UNKNOWN_LENGTH = 0.3


@dataclass(frozen=True, slots=True)
class FeatureRecipe:
    """dims: columns of a row.  text_share: part of its squared length that the text takes beside co-occurrence."""

    dims: int
    seed: int = 0
    text_share: float = TEXT_SHARE
    window: int = WINDOW


@dataclass(frozen=True, slots=True, eq=False)
class ItemFeatures:
    """A row is the text block, of length `text_weight`, beside `history_dims` columns of co-occurrence.

    A new item stands in no history yet: `neighbours` give it the co-occurrence of items with texts like its own; None,
    in bundles of earlier releases: it has none.  `text` is None where the catalogue's items had none.
    """

    text: FittedTextFeatures | None
    text_weight: float
    history_dims: int
    neighbours: TextNeighbours | None = None

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        item_rows_of_users: Sequence[npt.NDArray[np.int64]],
        recipe: FeatureRecipe,
        encoder: SentenceEncoder | None = None,
    ) -> tuple[Self, Float32s]:
        """What new items need, and the catalogue's own features, Float32[N, dims], finite.

        Text and co-occurrence take half of the dimensions each; where no item has a text (or none a history), or
        `text_share` is 0 (or 1), the other takes all.  An item that has one kind alone has zeros in the other block;
        one with neither gets a short random vector, by seed and row.
        `texts`: "" where there is none.  `item_rows_of_users`: train histories as rows into `texts`, in order.
        """
        dims, seed, text_share = recipe.dims, recipe.seed, recipe.text_share
        has_text = text_share > 0.0 and any(texts)
        has_histories = text_share < 1.0 and any(len(rows) > 1 for rows in item_rows_of_users)
        history_dims = dims // (1 + has_text) if has_histories or not has_text else 0
        text, text_weight = None, 0.0
        blocks: list[Float32s] = []
        neighbours: TextNeighbours | None = None
        if has_text:
            text, row_ND = FittedTextFeatures.fit_transform(texts, dims - history_dims, seed, encoder)
            text_weight = float(np.sqrt(text_share if history_dims else 1.0))
            blocks.append(text_weight * row_ND)
        if history_dims:
            weight = float(np.sqrt(1.0 - text_share if has_text else 1.0))
            history_NH = cooccurrence_features(item_rows_of_users, len(texts), history_dims, seed, recipe.window)
            if has_text:
                seen_N = np.bincount(np.concatenate(item_rows_of_users), minlength=len(texts))
                neighbours = TextNeighbours.of(row_ND, history_NH, seen_N)
            blocks.append(weight * history_NH)
        features_ND = np.hstack(blocks)
        unknown_N = ~features_ND.any(axis=1)
        chance_ND = np.random.default_rng(seed).standard_normal(features_ND.shape)
        features_ND[unknown_N] = UNKNOWN_LENGTH * unit_rows(chance_ND[unknown_N])
        return cls(text, text_weight, history_dims, neighbours), features_ND

    @property
    def dims(self) -> int:
        """Columns of a row: what the quantiser was fitted on."""
        return (self.text.dims if self.text else 0) + self.history_dims

    def of_new_items(self, texts: Sequence[str]) -> Float32s:
        """Features from texts alone, Float32[K, dims]: zero rows where a text holds nothing that is known.

        Raises BadDataSet where the catalogue's items had no text to learn from.
        """
        if self.text is None:
            raise BadDataSet("the items had no texts to learn from: a new item's text says nothing about its codes")
        text_KT = self.text.transform(texts)
        blocks = [self.text_weight * text_KT]
        if self.history_dims:
            history_KH = np.zeros((len(texts), self.history_dims), np.float32)
            if self.neighbours is not None:
                history_KH = np.float32(np.sqrt(1 - self.text_weight**2)) * self.neighbours.history_of(text_KT)
            blocks.append(history_KH)
        return np.hstack(blocks)
