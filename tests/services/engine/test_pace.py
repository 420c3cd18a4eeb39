"""How fast prompts leave: one by one, in batches, and with some or all of them unanswered."""

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
        clock.advance(0.1)
        first.close()
        assert pace.per_prompt_s == pytest.approx(0.1)
        clock.advance(0.1)
        last.close()
    assert pace.per_prompt_s == pytest.approx(0.1, rel=0.02)


def test_who_left_unanswered_spent_time_like_the_others() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    for answered in (True, False, False, False) * 10:
        with pace.visit() as visit:
            clock.advance(0.01)
            visit.answered = answered
    assert pace.per_prompt_s == pytest.approx(0.04, rel=0.05)


def test_it_follows_a_change() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    for seconds in (*[1.0] * 20, *[0.1] * 200):
        with pace.visit() as visit:
            clock.advance(seconds)
            visit.answered = True
    assert pace.per_prompt_s == pytest.approx(0.1, rel=0.05)


def test_where_nobody_was_answered_nothing_is_known() -> None:
    clock = ManualClock()
    pace = Pace(clock)
    with suppress(RuntimeError), pace.visit():
        clock.advance(3)
        raise RuntimeError
    assert (pace.per_prompt_s, pace.inside) == (0, 0)
