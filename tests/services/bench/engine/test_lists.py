"""Equality of lists: near-ties may swap, anything else is caught."""

from __future__ import annotations

import numpy as np
import pytest

from services.bench.engine.lists import SCORE_TOLERANCE, Listed, compare

CODES = [[1, 4], [0, 2], [3, 3], [1, 0]]
SCORES = [-0.1, -0.2, -0.3, -0.4]


def listed(codes: list[list[int]] = CODES, scores: list[float] = SCORES) -> Listed:
    return Listed(np.array(codes, dtype=np.int32), np.array(scores, dtype=np.float64))


def test_a_list_equals_itself_in_any_order_and_within_rounding() -> None:
    other = listed(CODES[::-1], [score + SCORE_TOLERANCE / 2 for score in SCORES[::-1]])
    difference = compare(other, listed())
    assert difference.within("float32")
    assert difference.recall == 1.0


@pytest.mark.parametrize(
    "planted",
    [
        listed(scores=[-0.1, -0.2 + 2 * SCORE_TOLERANCE, -0.3, -0.4]),
        listed([[1, 4], [9, 9], [3, 3], [1, 0]]),
        listed(CODES[:-1], SCORES[:-1]),
        listed([*CODES, [7, 7]], [*SCORES, -0.5]),
        listed([[1, 4], [1, 4], [3, 3], [1, 0]]),
    ],
    ids=["score", "stranger", "shorter", "longer", "twice"],
)
def test_a_planted_difference_is_caught(planted: Listed) -> None:
    assert not compare(planted, listed()).within("float32")
    assert not compare(listed(), planted).within("float32")


def test_ids_that_tie_at_the_cut_may_stand_on_either_side() -> None:
    other = listed([*CODES[:-1], [8, 8]], [*SCORES[:-1], SCORES[-1] + SCORE_TOLERANCE / 4])
    difference = compare(other, listed())
    assert difference.within("float32")
    assert difference.recall == 0.75


def test_a_wider_tolerance_is_said_by_the_caller() -> None:
    other = listed(scores=[score + 1e-3 for score in SCORES])
    assert not compare(other, listed()).within("float32")
    assert compare(other, listed(), 5e-3).within("float32")


def test_bfloat16_is_held_to_the_share_that_it_finds_again() -> None:
    codes = [[0, code] for code in range(100)]
    scores = [-code / 100 for code in range(100)]
    exact = listed(codes, scores)
    for missed, within in ((5, True), (6, False)):
        rough = listed(codes[missed:] + [[1, code] for code in range(missed)], [score + 0.01 for score in scores])
        assert compare(rough, exact).within("bfloat16") is within


def test_two_empty_lists_are_equal_and_one_is_not() -> None:
    empty = listed([], [])
    assert compare(empty, empty).within("float32")
    assert not compare(empty, listed()).within("float32")
    assert not compare(listed(), empty).within("float32")


def test_a_prefix_at_iap_s_cut_may_be_missing_and_then_the_list_goes_further_down() -> None:
    other = listed([[1, 4], [3, 3], [1, 0], [1, 7]], [-0.1, -0.3, -0.4, -0.6])
    assert not compare(other, listed()).within("float32")
    for mine, wanted in ((other, listed()), (listed(), other)):
        difference = compare(mine, wanted, tied=frozenset({0, 5}))
        assert difference.within("float32")
        assert difference.excused
        assert not compare(mine, wanted, tied=frozenset({5})).within("float32")


def test_a_tie_at_iap_s_cut_excuses_nothing_else() -> None:
    other = listed([[1, 4], [9, 9], [1, 0], [1, 7]], [-0.1, -0.3, -0.4, -0.6])
    assert not compare(other, listed(), tied=frozenset({0})).within("float32")
