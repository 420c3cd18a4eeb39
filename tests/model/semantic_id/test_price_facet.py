"""Prices: read as numbers, placed on a scale that new ones are placed on too."""

from __future__ import annotations

import numpy as np

from model.semantic_id.price_facet import PriceScale, split_prices


def test_prices_are_taken_out_of_the_text_as_numbers() -> None:
    words, price_N = split_prices(["Rome | price 120", "Price: $9.5 soap", "priceless", "no price here"])
    assert words == ["Rome |  ", "  soap", "priceless", "no price here"]
    np.testing.assert_array_equal(price_N, [120, 9.5, np.nan, np.nan])


def test_directions_are_unit_vectors_in_log_scale_and_zero_where_no_price_is_told() -> None:
    price_N = np.asarray([10.0, 100.0, 1000.0, np.nan])
    scale = PriceScale.fit(price_N)
    assert scale is not None
    direction_N2 = scale.directions(price_N)
    assert direction_N2.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(direction_N2, axis=1), [1, 1, 1, 0], atol=1e-6)
    assert abs((direction_N2[0] - direction_N2[1]) @ (direction_N2[1] - direction_N2[2])) < 0.2


def test_a_price_beyond_the_scale_stands_at_its_end() -> None:
    scale = PriceScale.fit(np.asarray([10.0, 100.0]))
    assert scale is not None
    np.testing.assert_allclose(scale.directions(np.asarray([0.0, 1e9])), [[1, 0], [-1, 0]], atol=1e-6)


def test_one_price_alone_makes_a_scale_and_none_makes_none() -> None:
    scale = PriceScale.fit(np.asarray([5.0, 5.0]))
    assert scale is not None
    assert np.isfinite(scale.directions(np.asarray([4.0, 5.0, 6.0]))).all()
    assert PriceScale.fit(np.asarray([np.nan])) is None
    assert PriceScale.fit(np.zeros(0)) is None
