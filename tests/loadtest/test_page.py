"""What counts as a page of a list."""

from __future__ import annotations

import pytest

from loadtest.page import NO_PAGE, Page, read_page


def test_a_page_is_read_in_its_order() -> None:
    body = {"outcome": "fresh", "items": [{"item_id": 9, "score": 1.0}, {"item_id": 7}], "next_cursor": None}
    assert read_page(body) == Page("fresh", (9, 7), None)
    assert read_page({**body, "age_ms": 20}) == Page("fresh", (9, 7), None, 20)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"error": "StoreDown", "detail": "no store"},
        {"outcome": "fine", "items": [], "next_cursor": None},
        {"outcome": "fresh", "items": [{"item": 9}], "next_cursor": None},
        {"outcome": "fresh", "items": [{"item_id": "9"}], "next_cursor": None},
        {"outcome": "fresh", "items": [], "next_cursor": 5},
    ],
)
def test_anything_else_is_no_page(body: object) -> None:
    assert read_page(body) is NO_PAGE


def test_an_item_that_is_shown_twice_is_found_and_another_list_may_name_it_again() -> None:
    first = Page("fresh", (1, 2, 3), "more")
    assert not Page("fresh", (4, 5), None).repeats(first)
    assert Page("fresh", (4, 1), None).repeats(first)
    assert Page("stale", (4, 4), None).repeats(NO_PAGE)
    assert not Page("fallback", (1, 4), None).repeats(first)
    assert Page("fallback", (4, 4), None).repeats(first)
    assert Page("fallback", (1, 4), None).repeats(Page("fallback", (1, 2), "more"))


@pytest.mark.parametrize(
    ("outcome", "age_ms", "took_ms", "masking"),
    [
        ("fresh", 90, 3.0, "ready"),
        ("fresh", 3, 3.0, "ready"),
        ("fresh", 2, 40.0, "waited"),
        ("fresh", None, 3.0, "waited"),
        ("stale", 5000, 3.0, "late"),
        ("fallback", None, 3.0, "late"),
    ],
)
def test_a_list_was_ready_if_it_is_older_than_the_request_that_fetched_it(
    outcome: str, age_ms: int | None, took_ms: float, masking: str
) -> None:
    page = read_page({"outcome": outcome, "items": [], "next_cursor": None, "age_ms": age_ms})
    assert page.masking(took_ms) == masking
