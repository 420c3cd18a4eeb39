"""What a shopper does in a page view: the bodies that are sent, decided by a seeded random.

The locust file asks; sends nothing, sleeps never, reads no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

SCENES = ("home", "search", "cart")
DEVICES = ("mobile", "desktop", "tablet")
SEEN_BEFORE = 8
WANTS_MORE, CLICKS, BUYS = 0.3, 0.1, 0.2
MS_BETWEEN_EVENTS = 1000

Event = dict[str, str | int]


@dataclass(slots=True)
class Shopper:
    """One user of the shop.  `shop_front`: items that exist, where the first clicks come from."""

    user_id: str
    shop_front: Sequence[int]
    random: Random
    views: int = field(default=0, init=False)

    def open_page(self, now_ms: int) -> dict[str, object]:
        """The body of `POST /trigger`; a first page view brings what the shopper clicked before.

        The request's id holds the time: of a stack that has seen this shopper before it is another request.
        """
        self.views += 1
        body: dict[str, object] = {
            "user_id": self.user_id,
            "request_id": f"{self.user_id}-{now_ms}-{self.views}",
            "scene": self.random.choice(SCENES),
            "context": {"device": self.random.choice(DEVICES)},
        }
        if self.views == 1:
            body["recent"] = self._seen_before(now_ms)
        return body

    def wants_more(self) -> bool:
        """Whether the second page is asked for."""
        return self.random.random() < WANTS_MORE

    def react(self, shown: Sequence[int], request_id: str, now_ms: int) -> list[Event]:
        """The events of `POST /interactions`: everything shown was seen, some of it clicked, some of that bought."""
        events: list[Event] = []
        for position, item in enumerate(shown):
            about: Event = {"user_id": self.user_id, "item_id": item, "request_id": request_id, "position": position}
            events.append({**about, "behavior": "exposure", "timestamp": now_ms})
            if self.random.random() < CLICKS:
                events.append({**about, "behavior": "click", "timestamp": now_ms + 1})
                if self.random.random() < BUYS:
                    events.append({**about, "behavior": "purchase", "timestamp": now_ms + 2})
        return events

    def _seen_before(self, now_ms: int) -> list[Event]:
        items = self.random.sample(self.shop_front, min(SEEN_BEFORE, len(self.shop_front)))
        return [
            {"item_id": item, "behavior": "click", "timestamp": now_ms - MS_BETWEEN_EVENTS * (len(items) - place)}
            for place, item in enumerate(items)
        ]
