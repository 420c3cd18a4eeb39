"""When a crowd is there, and how many."""

from __future__ import annotations

from loadtest.phases import Crowd, middle_third


def test_a_crowd_comes_within_seconds_in_the_middle_third_and_goes_again() -> None:
    crowd = Crowd(base=6, times=10, run_s=30)
    assert [crowd.at(second) for second in (0, 9.9, 10, 19.9, 20, 29.9)] == [
        (6, 20),
        (6, 20),
        (60, 20),
        (60, 20),
        (6, 20),
        (6, 20),
    ]
    assert crowd.at(30) is None


def test_a_crowd_is_never_smaller_than_its_base_and_comes_at_a_rate_that_locust_takes() -> None:
    assert Crowd(base=1, times=1, run_s=3).at(1.5) == (1, 1.0)


def test_the_middle_is_the_second_of_three_equal_parts() -> None:
    assert (middle_third(60, "slow").from_s, middle_third(60, "slow").to_s) == (20, 40)
