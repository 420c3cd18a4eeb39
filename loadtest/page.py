"""A page of `GET /retrieve` as the load test needs it."""

from __future__ import annotations

from dataclasses import dataclass

OUTCOMES = ("fresh", "stale", "fallback")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says: its outcome, the items in their order, how to get the next one, the list's age if any."""

    outcome: str
    items: tuple[int, ...]
    next_cursor: str | None
    age_ms: int | None = None

    def repeats(self, before: Page) -> bool:
        """Whether an item is shown twice, on this page or on this and the one before.

        Where the store went down in between, the next page is the popular list's first, which is another list: it says
        so (`fallback`), and may name what was shown.
        """
        another_list = self.outcome == "fallback" and before.outcome != "fallback"
        seen = () if another_list else before.items
        return len({*self.items, *seen}) != len(self.items) + len(seen)

    def masking(self, took_ms: float) -> str:
        """Whether the asked request's list was `ready` when it was asked for, was `waited` for, or is `late`.

        It was ready if it is older than the request that fetched it: no two machines' clocks are compared.  A list that
        came just before counts as waited for.
        """
        if self.outcome != "fresh":
            return "late"
        return "ready" if self.age_ms is not None and self.age_ms >= took_ms else "waited"


NO_PAGE = Page("none", (), None)


def read_page(body: object) -> Page:
    """NO_PAGE where the body is none."""
    match body:
        case {"outcome": str(outcome), "items": list(items), "next_cursor": str() | None as cursor, **more}:
            numbers = tuple(item["item_id"] for item in items if isinstance(item, dict) and "item_id" in item)
            if outcome in OUTCOMES and len(numbers) == len(items) and all(type(number) is int for number in numbers):
                age_ms = more.get("age_ms")
                return Page(outcome, numbers, cursor, age_ms if type(age_ms) is int else None)
    return NO_PAGE
