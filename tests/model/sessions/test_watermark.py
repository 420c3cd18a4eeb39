"""Event time follows the slowest part that speaks, never goes back, and goes on when everybody is silent."""

from __future__ import annotations

from model.sessions.watermark import Watermark


def watermark() -> Watermark[str]:
    made: Watermark[str] = Watermark(lateness_ms=10, idle_ms=50, ahead_ms=100)
    for part in "ab":
        made.add(part)
    return made


def test_the_slowest_part_decides_and_time_never_goes_back() -> None:
    made = watermark()
    made.saw("a", 1000)
    assert made.advance(5000) == 0, "nothing is known of b yet"
    made.saw("b", 500)
    assert made.advance(5000) == 490
    made.saw("b", 400)
    assert made.advance(5000) == 490
    made.saw("b", 2000)
    assert made.advance(5000) == 990


def test_a_part_that_is_silent_long_enough_holds_up_nobody_until_it_speaks_again() -> None:
    made = watermark()
    made.saw("a", 1000)
    made.silent("b", 0)
    made.silent("b", 49)
    assert made.advance(5000) == 0
    made.silent("b", 50)
    assert made.advance(5000) == 990
    made.saw("b", 995)
    made.saw("a", 3000)
    assert made.advance(5000) == 990


def test_an_hour_without_events_is_an_hour_of_wall_time() -> None:
    made = watermark()
    made.saw("a", 1000)
    for part in "ab":
        made.silent(part, 0)
        made.silent(part, 50)
    assert made.advance(3_601_000) == 3_600_990
    made.saw("a", 3_602_000)
    assert made.advance(3_602_001) == 3_601_990


def test_a_part_far_ahead_waits_for_those_that_still_have_a_backlog() -> None:
    made = watermark()
    made.saw("a", 1000)
    made.saw("b", 1101)
    assert made.too_far() == {"b"}
    made.silent("a", 0)
    assert made.too_far() == frozenset(), "a has been read to its end"


def test_it_goes_on_from_what_was_kept() -> None:
    made = watermark()
    made.saw("a", 1000)
    made.saw("b", 900)
    made.advance(0)
    again: Watermark[str] = Watermark(lateness_ms=10, idle_ms=50, ahead_ms=100)
    again.restore(made.value, made.marks())
    assert again.advance(0) == 890
    again.saw("b", 1200)
    assert again.advance(0) == 990


def test_a_part_that_is_no_more_holds_up_nobody() -> None:
    made = watermark()
    made.saw("a", 1000)
    assert made.advance(5000) == 0
    made.forget("b")
    assert made.advance(5000) == 990
    assert made.marks() == {"a": 1000}


def test_a_part_that_cannot_be_read_holds_event_time_up_however_long_it_was_silent_before() -> None:
    made = watermark()
    for part in "ab":
        made.saw(part, 1000)
        made.silent(part, 0)
        made.silent(part, 50)
    assert made.advance(5000) == 4990
    made.away("a")
    assert made.advance(9000) == 4990
    made.silent("a", 100)
    assert made.advance(9000) == 4990
    made.silent("a", 150)
    assert made.advance(9000) == 8990
