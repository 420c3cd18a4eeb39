"""Codes for an item that came after the catalogue was made, from its text alone.

Called by whoever adds items to a catalogue; never settles collisions, which takes the whole catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contracts.errors import BadRequest
from model.semantic_id.features import ItemFeatures
from model.semantic_id.quantiser import Int32s, Quantiser
from model.semantic_id.unit_rows import Float32s


@dataclass(frozen=True, slots=True, eq=False)
class NewItemEncoder:
    """Features and the quantiser that was fitted on them, both frozen."""

    features: ItemFeatures
    quantiser: Quantiser

    def features_of(self, texts: Sequence[str]) -> Float32s:
        """Float32[K, D], to settle collisions with.

        Raises BadDataSet where the catalogue's items had no texts, BadRequest for a text without any word,
        category or price that the catalogue's texts had.
        """
        features_KD = self.features.of_new_items(texts)
        unknown_K = np.flatnonzero(~features_KD.any(axis=1))
        if unknown_K.size:
            raise BadRequest(f"texts[{unknown_K[0]}] holds no word that the catalogue's item texts have")
        return features_KD

    def codes_of(self, texts: Sequence[str]) -> Int32s:
        """Int32[K, M], nearest codes level by level; several items may share them.  Raises as `features_of`."""
        return self.quantiser.encode(self.features_of(texts))
