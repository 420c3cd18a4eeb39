"""A page of `GET /retrieve` as the load test needs it."""

from __future__ import annotations

from dataclasses import dataclass

OUTCOMES = ("fresh", "stale", "fallback")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says: its outcome, the items in their order, how to get the next one."""

    outcome: str
    items: tuple[int, ...]
    next_cursor: str | None


NO_PAGE = Page("none", (), None)


def read_page(body: object) -> Page:
    """NO_PAGE where the body is none."""
    match body:
        case {"outcome": str(outcome), "items": list(items), "next_cursor": str() | None as cursor}:
            numbers = tuple(item["item_id"] for item in items if isinstance(item, dict) and "item_id" in item)
            if outcome in OUTCOMES and len(numbers) == len(items) and all(type(number) is int for number in numbers):
                return Page(outcome, numbers, cursor)
    return NO_PAGE
