"""Codes for new items: those of the item it resembles, and a plain no where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import BadRequest
from model.semantic_id.features import FeatureRecipe, ItemFeatures
from model.semantic_id.new_item_encoder import NewItemEncoder
from model.semantic_id.residual_kmeans import ResidualKMeans

TEXTS = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("polish", "soap", "brush", "comb")]


def encoder() -> tuple[NewItemEncoder, ResidualKMeans, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    features, features_ND = ItemFeatures.fit(TEXTS, [np.asarray([0, 1, 2])], FeatureRecipe(8))
    quantiser = ResidualKMeans.fit(features_ND, (4, 4), seed=0)
    return NewItemEncoder(features, quantiser), quantiser, features_ND


def test_an_items_own_text_gives_its_codes_where_histories_have_it() -> None:
    made, quantiser, features_ND = encoder()
    codes_KM = made.codes_of(TEXTS[:3])
    assert codes_KM.dtype == np.int32
    np.testing.assert_array_equal(codes_KM, quantiser.encode(features_ND)[:3])


def test_no_text_gives_no_codes() -> None:
    assert encoder()[0].codes_of([]).shape == (0, 2)


def test_a_text_of_which_nothing_is_known_is_refused_by_its_place() -> None:
    with pytest.raises(BadRequest, match=r"texts\[1\]"):
        encoder()[0].codes_of(["red soap", "unheard", ""])
