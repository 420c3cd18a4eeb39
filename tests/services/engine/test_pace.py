"""How fast prompts leave, by Little's law: one by one, in batches, and with nobody answered."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import pytest

from services.engine.pace import Pace
from services.runtime.clock import ManualClock


def test_one_after_the_other_each_takes_its_own_time() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    assert pace.seconds_for(10) == 0
    for _ in range(3):
        with pace.visit() as visit:
            clock.advance(0.5)
            visit.answered = True
        clock.advance(7)
    assert pace.seconds_for(10) == pytest.approx(5.0)


def test_a_batch_takes_its_time_once_for_all() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    with ExitStack() as together:
        for _ in range(8):
            together.enter_context(pace.visit()).answered = True
        clock.advance(2)
    assert pace.per_prompt_s == pytest.approx(0.25)
    assert pace.inside == 0


def test_a_queue_in_front_changes_nothing() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    with ExitStack() as last, ExitStack() as first:
        first.enter_context(pace.visit()).answered = True
        last.enter_context(pace.visit()).answered = True
        clock.advance(1)
        first.close()
        assert pace.per_prompt_s == pytest.approx(0.5)
        # The second was among two for a second and alone for another: 2 s at 1.5 inside.
        clock.advance(1)
        last.close()
    assert pace.per_prompt_s == pytest.approx(0.5 + 0.1 * (2 / 1.5 - 0.5))


def test_it_follows_a_change() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    for seconds in (1.0, *[0.1] * 40):
        with pace.visit() as visit:
            clock.advance(seconds)
            visit.answered = True
    assert pace.per_prompt_s == pytest.approx(0.1, abs=0.02)


def test_who_was_not_answered_tells_nothing() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    with suppress(RuntimeError), pace.visit():
        clock.advance(3)
        raise RuntimeError
    with pace.visit() as visit:
        visit.answered = True
    assert (pace.per_prompt_s, pace.inside) == (0, 0)
