"""What counts as a page of a list."""

from __future__ import annotations

import pytest

from loadtest.budgets import Measured
from loadtest.page import NO_PAGE, Page, read_page
from loadtest.report import table


def test_a_page_is_read_in_its_order() -> None:
    body = {"outcome": "fresh", "items": [{"item_id": 9, "score": 1.0}, {"item_id": 7}], "next_cursor": None}
    assert read_page(body) == Page("fresh", (9, 7), None)


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


def test_the_table_has_a_line_for_every_row() -> None:
    rows = {name: Measured(name, 10, 1, 0.5, 1.4, 2.0, 30.0) for name in ("trigger", "fresh")}
    lines = table({"trigger": rows["trigger"]}, {"fresh": rows["fresh"]}).splitlines()
    assert lines[2:] == ["| trigger | 10 | 1 | 0.5 | 1 | 2 | 30 |", "| fresh | 10 | 1 | 0.5 | 1 | 2 | 30 |"]
