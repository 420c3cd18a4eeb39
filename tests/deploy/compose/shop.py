"""A shop in front of the stack: page views over HTTP, by hand or all the time."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

LONGEST_WAIT_MS = 5000


@dataclass(frozen=True, slots=True)
class Page:
    """What retrieve answered."""

    status: int
    outcome: str = ""
    model: str = ""
    items: tuple[int, ...] = ()
    request: str | None = None
    ms: float = 0.0


@dataclass(slots=True)
class Shop:
    """Every call returns what came back; a refused connection is status 0."""

    trigger_url: str
    retrieval_url: str
    key: str | None = None
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(timeout=LONGEST_WAIT_MS / 1000 + 5, headers=shown(self.key))

    def trigger(self, user: str, request: str, recent: tuple[int, ...] = ()) -> tuple[int, str]:
        """Status and body.  `recent`: items that the user has just clicked elsewhere in the shop."""
        now_ms = round(time.time() * 1000)
        clicks = [{"item_id": item, "behavior": "click", "timestamp": now_ms} for item in recent]
        return self._post("/trigger", {"user_id": user, "request_id": request, "scene": "home", "recent": clicks})

    def interact(self, user: str, request: str, behavior: str, items: tuple[int, ...]) -> tuple[int, str]:
        """Status and body of the last of them: one event after the other.

        Not together, as a shop would send them: the broker that stands in for Kafka here (docs/kafka.md) tells a wrong
        end of a partition whose last batch held several messages.
        """
        now_ms = round(time.time() * 1000)
        said = 0, "nothing to tell"
        for place, item in enumerate(items):
            told = {"user_id": user, "behavior": behavior, "timestamp": now_ms, "request_id": request}
            said = self._post("/interactions", {"events": [told | {"item_id": item, "position": place}]})
        return said

    def retrieve(self, user: str, limit: int = 5, request: str | None = None, wait_ms: int = 0) -> Page:
        """One page of the user's list."""
        asked: dict[str, str | int] = {"limit": limit}
        if request is not None:
            asked |= {"request_id": request, "wait_ms": wait_ms}
        began_s = time.perf_counter()
        try:
            answer = self.client.get(f"{self.retrieval_url}/retrieve/{user}", params=asked)
        except httpx.HTTPError:
            return Page(0)
        took_ms = (time.perf_counter() - began_s) * 1000
        if answer.status_code != httpx.codes.OK:
            return Page(answer.status_code, ms=took_ms)
        body = answer.json()
        items = tuple(item["item_id"] for item in body["items"])
        return Page(200, body["outcome"], body["model_version"] or "", items, body["request_id"], took_ms)

    def view(self, user: str, request: str) -> Page:
        """A whole page view: trigger, the list, what was seen and clicked."""
        popular = self.retrieve(user, 10).items
        self.trigger(user, request, popular[:2])
        page = self.retrieve(user, 5, request, LONGEST_WAIT_MS)
        if page.items:
            self.interact(user, request, "exposure", page.items)
            self.interact(user, request, "click", page.items[:2])
        return page

    def _post(self, path: str, body: dict[str, object]) -> tuple[int, str]:
        try:
            answer = self.client.post(f"{self.trigger_url}{path}", json=body)
        except httpx.HTTPError as error:
            return 0, type(error).__name__
        return answer.status_code, answer.text


@dataclass(slots=True)
class Pulse:
    """What retrieve answered while it was asked all the time."""

    answers: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0

    def __str__(self) -> str:
        counted = ", ".join(f"{count} {name}" for name, count in sorted(self.answers.items()))
        return f"{counted}; slowest {self.slowest_ms:.0f} ms"

    @property
    def lost(self) -> int:
        """Answers that were no list."""
        return sum(count for name, count in self.answers.items() if name not in ("fresh", "stale", "fallback"))


@contextmanager
def pulse(shop: Shop, user: str, every_s: float = 0.1) -> Iterator[Pulse]:
    """Ask for a user's list all the time inside the block."""
    told, stop = Pulse(), threading.Event()
    asking = Shop(shop.trigger_url, shop.retrieval_url, shop.key)

    def ask() -> None:
        while not stop.wait(every_s):
            page = asking.retrieve(user)
            told.answers[page.outcome or f"status {page.status}"] += 1
            told.slowest_ms = max(told.slowest_ms, page.ms)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join()
        asking.client.close()


def shown(key: str | None) -> dict[str, str]:
    """The header that shows a key, where there is one."""
    return {"authorization": f"Bearer {key}"} if key else {}


def requests(name: str) -> Iterator[str]:
    """Request ids that nobody else uses."""
    return (f"{name}-{number}" for number in itertools.count(1))
