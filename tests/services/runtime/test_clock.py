"""Both clocks tell the same two times; the manual one moves only when it is told to."""

from __future__ import annotations

import time

import pytest

from services.runtime.clock import ManualClock, SystemClock


def test_the_system_clock_tells_unix_milliseconds() -> None:
    before = time.time()
    now_ms = SystemClock().now_ms()
    assert before - 0.001 <= now_ms / 1000 <= time.time() + 0.001
    assert SystemClock().monotonic_s() <= SystemClock().monotonic_s()


def test_a_manual_clock_moves_both_times_when_told_to() -> None:
    clock = ManualClock(now_ms=1000)
    assert (clock.now_ms(), clock.monotonic_s()) == (1000, 0.0)
    clock.advance(1.5)
    assert (clock.now_ms(), clock.monotonic_s()) == (2500, 1.5)


def test_a_manual_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="forward only"):
        ManualClock().advance(-0.1)
