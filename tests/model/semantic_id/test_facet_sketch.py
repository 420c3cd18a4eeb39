"""Categories: found where texts share them, and told apart however many there are."""

from __future__ import annotations

import numpy as np

from model.semantic_id.facet_sketch import FacetSketch, segments_of


def test_segments_are_lower_case_evenly_spaced_and_each_once() -> None:
    assert segments_of("  Item 3 | Rome,  Italy||rome, italy | ") == ("item 3", "rome, italy")
    assert segments_of("") == ()


def test_a_category_is_a_segment_that_several_texts_share() -> None:
    sketch = FacetSketch.fit([segments_of(f"Item {n} | Rome | x{n}") for n in range(5)], 8, seed=0)
    assert sketch is not None
    assert sketch.names == ("rome",)
    assert sketch.dims == 8


def test_texts_most_of_which_have_no_category_are_prose() -> None:
    texts = [f"Item {n} | Rome" for n in range(5)] + ["Item 9 | Paris"]
    assert FacetSketch.fit([segments_of(text) for text in texts], 8, seed=0) is None
    assert FacetSketch.fit([], 8, seed=0) is None


def test_a_row_is_the_same_for_the_same_categories_and_nearly_square_to_others() -> None:
    segments = [(f"city{n}",) for n in range(50)] * 5
    sketch = FacetSketch.fit(segments, 64, seed=0)
    assert sketch is not None
    row_ND = sketch.transform(segments)
    assert row_ND.dtype == np.float32
    np.testing.assert_array_equal(row_ND[:50], row_ND[50:100])
    likeness_NN = row_ND[:50] @ row_ND[:50].T - np.eye(50)
    assert np.abs(likeness_NN).max() < 0.6


def test_rarer_categories_weigh_more() -> None:
    segments = [("hotel", f"city{n % 20}") for n in range(200)] + [("hostel", f"city{n % 20}") for n in range(100)]
    sketch = FacetSketch.fit(segments, 64, seed=0)
    assert sketch is not None
    city, kind = sketch.transform([("city1",)])[0], sketch.transform([("hotel",)])[0]
    both = sketch.transform([("hotel", "city1")])[0]
    assert both @ city > both @ kind


def test_unknown_categories_say_nothing() -> None:
    sketch = FacetSketch.fit([("rome",)] * 5 + [("paris",)] * 5, 8, seed=0)
    assert sketch is not None
    assert not sketch.transform([("oslo",), ()]).any()
    np.testing.assert_array_equal(sketch.transform([("oslo", "rome")]), sketch.transform([("rome",)]))
