"""Item features: text where there is some, histories where there are some, and something for every item."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from contracts.errors import BadDataSet
from model.semantic_id.cooccurrence import cooccurrence_features
from model.semantic_id.features import UNKNOWN_LENGTH, FeatureRecipe, ItemFeatures
from model.semantic_id.text_features import FittedTextFeatures

TEXTS = ["red polish", "blue polish", "hair soap", "", "", "", "mild soap"]
HISTORIES = [np.asarray([0, 1, 3], np.int64), np.asarray([2, 3, 1], np.int64), np.asarray([0, 4], np.int64)]


def rows_of(texts: Sequence[str], histories: Sequence[npt.NDArray[np.int64]], seed: int = 0) -> npt.NDArray[np.float32]:
    return ItemFeatures.fit(texts, histories, FeatureRecipe(8, seed))[1]


def lengths(features_ND: npt.NDArray[np.float32]) -> list[float]:
    return [round(float(length), 4) for length in np.linalg.norm(features_ND, axis=1)]


def test_both_kinds_stand_side_by_side_each_with_its_share() -> None:
    fitted, features_ND = ItemFeatures.fit(TEXTS, HISTORIES, FeatureRecipe(8, text_share=0.36))
    assert features_ND.shape == (7, 8)
    assert features_ND.dtype == np.float32
    assert fitted.dims == 8
    assert lengths(features_ND[:, :4]) == [0.6, 0.6, 0.6, 0, 0, lengths(features_ND[5:6, :4])[0], 0.6]
    assert lengths(features_ND[:5, 4:]) == [0.8] * 5
    assert lengths(features_ND[6:, 4:]) == [0]


def test_an_item_of_which_nothing_is_known_gets_a_short_row_of_its_own() -> None:
    features_ND = rows_of([*TEXTS, "", ""], HISTORIES)
    assert lengths(features_ND[[5, 7, 8]]) == [UNKNOWN_LENGTH] * 3
    assert len(np.unique(features_ND[[5, 7, 8]], axis=0)) == 3


def test_without_any_text_the_histories_take_all_dimensions() -> None:
    np.testing.assert_array_equal(rows_of([""] * 5, HISTORIES), cooccurrence_features(HISTORIES, 5, 8, seed=0))


def test_without_any_history_the_text_takes_all_dimensions() -> None:
    texts = ["red polish", "blue polish", "hair soap"]
    np.testing.assert_array_equal(rows_of(texts, []), FittedTextFeatures.fit_transform(texts, 8, seed=0)[1])


def test_with_nothing_known_at_all_items_spread_by_seed_and_row() -> None:
    features_ND = rows_of([""] * 20, [])
    assert len(np.unique(features_ND, axis=0)) == 20
    np.testing.assert_array_equal(features_ND[:9], rows_of([""] * 9, []))
    assert (features_ND != rows_of([""] * 20, [], seed=1)).any()


def test_a_new_item_with_the_text_of_an_item_that_histories_have_gets_that_items_row() -> None:
    fitted, features_ND = ItemFeatures.fit(TEXTS, HISTORIES, FeatureRecipe(8))
    new_KD = fitted.of_new_items(["red polish", "hair soap", "unheard"])
    assert new_KD.dtype == np.float32
    np.testing.assert_allclose(new_KD[:2], features_ND[[0, 2]], atol=2e-2)
    assert not new_KD[2].any()


def test_a_text_between_others_keeps_the_company_of_the_nearer_ones() -> None:
    fitted, features_ND = ItemFeatures.fit(TEXTS, HISTORIES, FeatureRecipe(8))
    [new_D] = fitted.of_new_items(["mild hair soap"])
    assert lengths(new_D[None, 4:]) == lengths(features_ND[:1, 4:])
    likeness_N = features_ND[:3, 4:] @ new_D[4:]
    assert likeness_N.argmax() == 2


def test_without_neighbours_a_new_item_has_the_text_block_alone() -> None:
    fitted, features_ND = ItemFeatures.fit(TEXTS, HISTORIES, FeatureRecipe(8))
    new_KD = dataclasses.replace(fitted, neighbours=None).of_new_items(["red polish", "mild soap"])
    np.testing.assert_allclose(new_KD[0, :4], features_ND[0, :4], atol=1e-6)
    assert not new_KD[:, 4:].any()
    np.testing.assert_allclose(new_KD[1], features_ND[6], atol=1e-6)


def test_where_items_had_no_text_a_new_text_is_refused_in_one_line() -> None:
    fitted, _ = ItemFeatures.fit([""] * 5, HISTORIES, FeatureRecipe(8))
    assert fitted.text is None
    assert fitted.dims == 8
    with pytest.raises(BadDataSet, match="no texts to learn from") as caught:
        fitted.of_new_items(["red polish"])
    assert "\n" not in str(caught.value)
