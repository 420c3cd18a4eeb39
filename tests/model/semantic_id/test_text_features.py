"""Text features: near in words, city before price, nothing invented, and the same for the same text later."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import BadBundle
from model.semantic_id.text_features import FittedTextFeatures

WORDS = ["red nail polish", "", "blue nail polish", "  ", "shampoo", "!!!"]
Array = npt.NDArray[np.generic]


def rows_of(texts: list[str], dims: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return FittedTextFeatures.fit_transform(texts, dims, seed)[1]


def some_hotels(cities: int = 40, per_city: int = 8) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Texts such as "City 7, Land 1 | price 120", and the city of each."""
    chance = np.random.default_rng(3)
    city_N = np.repeat(np.arange(cities), per_city)
    price_N = chance.integers(30, 400, city_N.size)
    pairs = zip(city_N.tolist(), price_N.tolist(), strict=True)
    return [f"Town{city}, Land{city % 3} | price {price}" for city, price in pairs], city_N


def test_items_with_words_have_unit_rows_and_items_without_have_zero_rows() -> None:
    features_ND = rows_of(WORDS, 4)
    assert features_ND.dtype == np.float32
    assert features_ND.shape == (6, 4)
    np.testing.assert_allclose(np.linalg.norm(features_ND, axis=1), [1, 0, 1, 0, 1, 0], atol=1e-5)


def test_texts_that_share_words_are_nearer_than_texts_that_share_none() -> None:
    features_ND = rows_of(["red nail polish", "blue nail polish", "dry hair shampoo", "mild hair shampoo"] * 5, 4)
    near, far = features_ND[0] @ features_ND[1], features_ND[0] @ features_ND[2]
    assert near > far + 0.3


def test_more_dimensions_than_words_are_filled_with_zeros() -> None:
    features_ND = rows_of(["one", "two", "one two"], 50)
    assert features_ND.shape == (3, 50)
    assert np.isfinite(features_ND).all()


def test_the_same_seed_gives_the_same_features() -> None:
    texts, _ = some_hotels()
    np.testing.assert_array_equal(rows_of(texts, 16, seed=1), rows_of(texts, 16, seed=1))


def test_no_text_at_all_gives_zeros() -> None:
    assert not rows_of(["", ""], 8).any()
    assert rows_of([], 8).shape == (0, 8)


@pytest.mark.parametrize("dims", [1, 2, 3, 4, 5, 24])
def test_rows_have_the_dimensions_asked_for(dims: int) -> None:
    texts, _ = some_hotels()
    fitted = FittedTextFeatures.fit(texts, dims, seed=0)
    assert fitted.dims == dims
    assert fitted.transform(texts[:3]).shape == (3, dims)


def test_an_items_nearest_neighbour_is_of_its_city_whatever_the_price() -> None:
    texts, city_N = some_hotels()
    features_ND = rows_of(texts, 24)
    likeness_NN = features_ND @ features_ND.T
    same_NN = city_N[:, None] == city_N[None, :]
    np.fill_diagonal(same_NN, False)
    np.fill_diagonal(likeness_NN, -1)
    assert same_NN[np.arange(city_N.size), likeness_NN.argmax(axis=1)].mean() > 0.95


def test_within_a_city_a_near_price_is_nearer_than_a_far_one() -> None:
    texts, _ = some_hotels()
    extra = [f"Town0, Land0 | price {price}" for price in (50, 52, 300)]
    features_ND = rows_of(texts + extra, 24)[-3:]
    assert features_ND[0] @ features_ND[1] > features_ND[0] @ features_ND[2]


@pytest.mark.parametrize("texts", [WORDS, some_hotels()[0], [*some_hotels()[0], "Town1, Land1", ""]])
def test_a_text_that_comes_later_gets_the_row_it_had_when_fitting(texts: list[str]) -> None:
    fitted, features_ND = FittedTextFeatures.fit_transform(texts, 12, seed=0)
    np.testing.assert_allclose(fitted.transform(texts), features_ND, atol=1e-6)
    for row in range(0, len(texts), 7):
        np.testing.assert_allclose(fitted.transform([texts[row]])[0], features_ND[row], atol=1e-6)


def test_a_new_text_stands_near_those_it_shares_a_city_with() -> None:
    texts, city_N = some_hotels()
    fitted, features_ND = FittedTextFeatures.fit_transform(texts, 24, seed=0)
    new_D = fitted.transform(["Town9, Land0 | price 77"])[0]
    assert city_N[(features_ND @ new_D).argmax()] == 9


HOTELS = FittedTextFeatures.fit(some_hotels()[0], 12, seed=0)


@settings(max_examples=30)
@given(st.lists(st.text(max_size=40), max_size=4))
def test_whatever_the_text_a_row_is_of_length_one_or_zero(texts: list[str]) -> None:
    length_N = np.linalg.norm(HOTELS.transform(texts), axis=1)
    assert length_N.shape == (len(texts),)
    assert all(abs(length) < 1e-6 or abs(length - 1) < 1e-5 for length in length_N.tolist())


@pytest.mark.parametrize("texts", [WORDS, some_hotels()[0]], ids=["words", "facets and prices"])
def test_the_state_goes_through_named_arrays(texts: list[str]) -> None:
    fitted = FittedTextFeatures.fit(texts, 12, seed=0)
    again = FittedTextFeatures.from_arrays(fitted.to_arrays(), fitted.facet_names)
    new = [*texts[:20], "Town3, Land0 | price 90", "soap"]
    np.testing.assert_array_equal(again.transform(new), fitted.transform(new))
    assert again.dims == fitted.dims


def test_the_state_of_twelve_thousand_prose_texts_stays_within_three_megabytes() -> None:
    chance = np.random.default_rng(0)
    # A vocabulary with a long tail, as people's words have.
    word_NW = chance.zipf(1.2, (12_000, 12)) % 50_000
    texts = [" ".join(f"w{word}" for word in row) for row in word_NW.tolist()]
    arrays = FittedTextFeatures.fit(texts, 32, seed=0).to_arrays()
    assert sum(array.nbytes for array in arrays.values()) < 3 * 2**20


def without(arrays: dict[str, Array], name: str) -> dict[str, Array]:
    return {key: array for key, array in arrays.items() if key != name}


STATE = HOTELS.to_arrays()
NAMES = HOTELS.facet_names


@pytest.mark.parametrize(
    ("arrays", "names", "complaint"),
    [
        (without(STATE, "topics.idf"), NAMES, "lack topics.idf"),
        (STATE | {"topics.idf": STATE["topics.idf"][:-1]}, NAMES, "differ in number"),
        (STATE | {"topics.columns": STATE["topics.columns"][::-1]}, NAMES, "must rise"),
        (STATE | {"topics.columns": STATE["topics.columns"].astype(np.int64)}, NAMES, "must be int32"),
        (STATE | {"topics.idf": np.full(len(STATE["topics.idf"]), np.nan, np.float32)}, NAMES, "not finite"),
        (STATE, NAMES[1:], "categories and their directions"),
        (STATE, (NAMES[1], *NAMES[1:]), "categories and their directions"),
        (STATE, (), "unknown facets.directions"),
        (STATE | {"prices.log_range": np.zeros(3)}, NAMES, "two numbers"),
        (STATE | {"more": np.zeros(3)}, NAMES, "unknown more"),
    ],
)
def test_damaged_state_is_refused(arrays: dict[str, Array], names: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(BadBundle, match=complaint):
        FittedTextFeatures.from_arrays(arrays, names)
