"""A difference is taken user by user, whatever order they come in, and only between the same users."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import BadResults
from model.evaluation.compare import compare
from model.evaluation.user_metrics import TruthMetrics, UserMetrics


def of(users: tuple[str, ...], *columns: list[float], metrics: tuple[str, ...] = ("HR@1", "HR@2")) -> UserMetrics:
    return UserMetrics({"click": TruthMetrics(users, metrics[: len(columns)], np.array(columns).T)})


def test_the_difference_is_ours_minus_theirs_of_the_same_user() -> None:
    ours = of(("a", "b"), [1.0, 0.0], [1.0, 1.0])
    theirs = of(("b", "a"), [0.5, 1.0], [1.0, 0.0])
    found = compare(ours, theirs)["click"]
    assert found["HR@1"].mean == pytest.approx((0.0 - 0.5) / 2)
    assert found["HR@2"].mean == pytest.approx((1.0 + 0.0) / 2)


def test_equal_methods_differ_by_nothing_for_sure() -> None:
    same = of(("a", "b", "c"), [1.0, 0.0, 1.0])
    found = compare(same, same)["click"]["HR@1"]
    assert (found.mean, found.low, found.high, found.smallest_effect) == (0, 0, 0, 0)
    assert not found.excludes_zero


def test_pairing_makes_the_interval_of_a_small_steady_difference_small() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(500)
    ours, theirs = (of(tuple(map(str, range(500))), list(values)) for values in (base + 0.01, base))
    found = compare(ours, theirs)["click"]["HR@1"]
    assert found.low == pytest.approx(0.01)
    assert found.excludes_zero


def test_other_users_are_refused() -> None:
    with pytest.raises(BadResults, match="not the same"):
        compare(of(("a", "b"), [1.0, 0.0]), of(("a", "c"), [1.0, 0.0]))
    with pytest.raises(BadResults, match="no truth and metric in common"):
        compare(of(("a",), [1.0]), of(("a",), [1.0], metrics=("HR@9",)))
