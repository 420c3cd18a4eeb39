"""Shoppers send what trigger and interactions take, and decide the same way every time."""

from __future__ import annotations

from random import Random

from contracts.messages import MAX_RECENT
from loadtest.shopper import SEEN_BEFORE, Shopper

NOW_MS = 1_763_769_600_000
FRONT = tuple(range(100, 200))


def shopper(seed: int = 7) -> Shopper:
    return Shopper("load-1", FRONT, Random(seed))


def test_the_first_page_view_brings_past_clicks_and_later_ones_do_not() -> None:
    one = shopper()
    first, second = one.open_page(NOW_MS), one.open_page(NOW_MS)
    recent = first["recent"]
    assert isinstance(recent, list)
    assert len(recent) == SEEN_BEFORE <= MAX_RECENT
    times = [event["timestamp"] for event in recent]
    assert times == sorted(times)
    assert max(times) < NOW_MS
    assert "recent" not in second


def test_every_page_view_is_a_request_of_its_own() -> None:
    one = shopper()
    assert len({one.open_page(NOW_MS)["request_id"] for _ in range(20)}) == 20


def test_a_shopper_who_comes_back_in_a_later_run_makes_other_requests() -> None:
    """The same user and request would be the same event, which is computed once."""
    earlier, later = shopper(), shopper()
    before = {earlier.open_page(NOW_MS + view)["request_id"] for view in range(20)}
    assert before.isdisjoint({later.open_page(NOW_MS + 60_000 + view)["request_id"] for view in range(20)})


def test_everything_shown_is_an_exposure_once_and_feedback_concerns_only_what_was_shown() -> None:
    events = shopper().react(FRONT, "r-1", NOW_MS)
    seen = [event["item_id"] for event in events if event["behavior"] == "exposure"]
    assert seen == list(FRONT)
    clicked = {event["item_id"] for event in events if event["behavior"] == "click"}
    bought = {event["item_id"] for event in events if event["behavior"] == "purchase"}
    assert bought <= clicked <= set(FRONT)
    assert clicked


def test_equal_seeds_do_equal_things() -> None:
    left, right = shopper(3), shopper(3)
    assert left.open_page(NOW_MS) == right.open_page(NOW_MS)
    assert left.react(FRONT, "r", NOW_MS) == right.react(FRONT, "r", NOW_MS)
