"""The report's measures against their textbook definitions."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.semantic_id.report import gini, perplexity, sid_report


def textbook_gini(counts: list[int]) -> float:
    """Half the mean absolute difference over the mean."""
    differences = sum(abs(one - other) for one in counts for other in counts)
    return differences / (2 * len(counts) * sum(counts))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any))
def test_gini_is_the_textbook_one(counts: list[int]) -> None:
    assert gini(np.asarray(counts)) == pytest.approx(textbook_gini(counts), abs=1e-12)


def test_gini_and_perplexity_of_nothing_are_zero() -> None:
    assert gini(np.zeros(0, np.int64)) == 0.0
    assert gini(np.zeros(4, np.int64)) == 0.0
    assert perplexity(np.zeros(4, np.int64)) == 0.0


def test_perplexity_of_evenly_used_codes_is_their_number() -> None:
    assert perplexity(np.asarray([3, 3, 0, 3])) == pytest.approx(3.0)


def test_the_report_counts_ids_and_collisions() -> None:
    codes_NM = np.asarray([[0, 1], [0, 1], [0, 1], [1, 0], [2, 2]], np.int32)
    report = sid_report(codes_NM, (4, 3))
    assert report["items"] == 5
    assert report["sids_used"] == 3
    assert report["collision_rate"] == pytest.approx(3 / 5)
    assert report["max_items_per_sid"] == 3
    assert report["gini"] == pytest.approx(textbook_gini([3, 1, 1]))
    assert [(level["size"], level["codes_used"]) for level in report["levels"]] == [(4, 3), (3, 3)]
    assert report["levels"][0]["gini"] == pytest.approx(textbook_gini([3, 1, 1, 0]))
    assert report["levels"][0]["perplexity"] == pytest.approx(2.586, abs=1e-3)
    assert json.loads(json.dumps(report)) == report


def test_a_collapsed_level_shows_in_its_gini() -> None:
    report = sid_report(np.zeros((10, 1), np.int32), (8,))
    assert report["levels"][0]["gini"] == pytest.approx(7 / 8)
    assert report["levels"][0]["perplexity"] == pytest.approx(1.0)


def test_an_empty_catalogue_has_a_report() -> None:
    report = sid_report(np.zeros((0, 2), np.int32), (4, 4))
    assert (report["items"], report["sids_used"], report["max_items_per_sid"]) == (0, 0, 0)
    assert report["collision_rate"] == 0.0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_collision_rate_is_that_of_a_plain_count(codes: list[tuple[int, int]]) -> None:
    held = Counter(codes)
    shared = sum(1 for sid in codes if held[sid] > 1)
    assert sid_report(np.asarray(codes, np.int32), (3, 3))["collision_rate"] == pytest.approx(shared / len(codes))
