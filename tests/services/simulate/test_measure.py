"""Hit rates and recovery: what the arithmetic says of cases that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import BadRequest
from services.simulate.arm import Name
from services.simulate.figure import draw
from services.simulate.measure import Asked, measure
from services.simulate.report import Report

CHANGES_AT = 2
FROZEN = (0.5, 0.5, 0.1, 0.12, 0.14, 0.16)
UPDATES = (0.5, 0.5, 0.1, 0.26, 0.34, 0.42)
RETRAIN = (0.5, 0.5, 0.5, 0.5)


def asked(rates: Iterable[float], begin: int = 0, users: int = 40, noise: float = 0.0) -> list[Asked]:
    """Every user once a period, with these mean chances."""
    rng = np.random.default_rng(7)
    return [
        Asked(period, f"u{user}", False, float(rate + noise * draw), True, f"m{period}")
        for period, rate in enumerate(rates, start=begin)
        for user, draw in enumerate(rng.standard_normal(users) if noise else np.zeros(users))
    ]


def a_run(noise: float = 0.0, users: int = 40) -> dict[Name, list[Asked]]:
    """All three arms."""
    return {
        Name.UPDATES: asked(UPDATES, noise=noise, users=users),
        Name.FROZEN: asked(FROZEN, noise=noise, users=users),
        Name.RETRAIN: asked(RETRAIN, begin=CHANGES_AT, noise=noise, users=users),
    }


def test_recovery_of_a_case_worked_out_by_hand() -> None:
    outcome = measure(a_run(), CHANGES_AT)
    assert (outcome.before.value, outcome.fallen.value, outcome.ceiling.value) == pytest.approx((0.5, 0.1, 0.5))
    assert outcome.after(3).of_ceiling.value == pytest.approx((0.42 - 0.1) / 0.4)
    assert outcome.after(3).of_before.value == pytest.approx(0.8)
    assert outcome.after(3, Name.FROZEN).of_ceiling.value == pytest.approx(0.06 / 0.4)
    assert outcome.after(0, Name.FROZEN).of_ceiling.value == 0.0
    # Where all users are alike, there is nothing to be unsure of.
    assert outcome.after(3).of_ceiling.low == pytest.approx(outcome.after(3).of_ceiling.high)


def test_users_who_differ_make_an_interval_around_the_value() -> None:
    recovered = measure(a_run(noise=0.1, users=200), CHANGES_AT).after(3).of_ceiling
    assert recovered.low < recovered.value < recovered.high
    assert measure(a_run(noise=0.1, users=200), CHANGES_AT).after(3).of_ceiling == recovered


@given(shift=st.floats(-0.05, 0.05), scale=st.floats(0.5, 1.5))
@settings(max_examples=20, deadline=None)
def test_recovery_does_not_depend_on_where_the_scale_begins(shift: float, scale: float) -> None:
    moved = {
        arm: [
            Asked(one.period, one.user, one.hit, shift + scale * one.chance, one.fresh, one.model_version) for one in of
        ]
        for arm, of in a_run(noise=0.02).items()
    }
    ours, theirs = measure(a_run(noise=0.02), CHANGES_AT).after(2), measure(moved, CHANGES_AT).after(2)
    for kind in ("of_ceiling", "of_before"):
        for part in ("value", "low", "high"):
            assert getattr(getattr(ours, kind), part) == pytest.approx(getattr(getattr(theirs, kind), part), rel=1e-6)


def test_the_order_of_the_requests_does_not_matter() -> None:
    run = a_run(noise=0.05)
    assert measure({arm: of[::-1] for arm, of in run.items()}, CHANGES_AT) == measure(run, CHANGES_AT)


@pytest.mark.parametrize(
    "broken",
    [
        lambda run: {arm: of for arm, of in run.items() if arm is not Name.RETRAIN},
        lambda run: run | {Name.FROZEN: [one for one in run[Name.FROZEN] if one.period != CHANGES_AT]},
        lambda run: run | {Name.FROZEN: [one for one in run[Name.FROZEN] if one.period >= CHANGES_AT]},
    ],
)
def test_what_is_missing_is_said(broken: Callable[[dict[Name, list[Asked]]], dict[Name, list[Asked]]]) -> None:
    with pytest.raises(BadRequest, match="needed"):
        measure(broken(a_run()), CHANGES_AT)


def test_the_report_holds_the_verdict_and_the_figure_is_drawn(tmp_path: Path) -> None:
    outcome = measure(a_run(noise=0.05), CHANGES_AT)
    report = Report({"cpu": "x"}, {"users": 40}, {}, {}, outcome)
    assert report.verdict == outcome.after(3)
    assert "after 3 updates" in report.page()
    assert draw(outcome, CHANGES_AT, "a run", tmp_path).read_bytes() == (
        draw(outcome, CHANGES_AT, "a run", tmp_path).read_bytes()
    )
