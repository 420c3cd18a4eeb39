"""How a locust user speaks to the stack: triggers, pages, feedback, each counted in the run's timeline.

The scenarios' user classes stand on it; what is sent is decided elsewhere.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import ClassVar

from locust import FastHttpUser
from locust.contrib.fasthttp import FastResponse

from loadtest.page import NO_PAGE, Page, read_page
from loadtest.phases import Episode
from loadtest.timeline import Kind, Result, Row, Timeline
from services.runtime.settings import ClientSettings, read_settings

# What a page does meanwhile: parsing, features, other retrievals.
OTHER_WORK_S = 0.1
PAGE = 20
SHOP_FRONT = 200
COME_AGAIN = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

# Of this process, as locust's own statistics are: workers drain theirs into the master's.
RUN = Timeline()


class ShopUser(FastHttpUser):
    """A user of the shop.  `scenario` names its budgets; `wait_ms` is how long a first page waits for its list."""

    abstract = True
    host = "http://127.0.0.1"
    scenario: ClassVar[str]
    wait_ms: ClassVar[int] = 2000

    @classmethod
    def episode(cls, run_s: float) -> Episode | None:
        """What happens in mid-run, if anything does."""
        del run_s
        return None

    def on_start(self) -> None:
        """Look at the shop's front; a user whom nobody knows gets the popular items."""
        options = self.environment.parsed_options
        self.trigger_url: str = options.trigger_url.rstrip("/")
        self.retrieval_url: str = options.retrieval_url.rstrip("/")
        self.run_name: str = options.run_name
        # Locust adds to the headers that it is given: each request gets its own copy.
        self.key_header = read_settings(ClientSettings).key_header
        self.shop_front = self.look("nobody", {"limit": str(SHOP_FRONT)}, "retrieve popular").items

    def trigger(self, body: dict[str, object]) -> bool:
        """`POST /trigger`; whether it was taken."""
        return self._tell("trigger", body)

    def interact(self, events: list[dict[str, str | int]]) -> None:
        """`POST /interactions`, if there is anything to tell."""
        if events:
            self._tell("interactions", {"events": events})

    def first_page(self, user_id: str, request_id: str, began_s: float, *, triggered: bool) -> Page:
        """The first page of a request's list; counts its outcome, and whether it was ready where it was triggered."""
        asked_s = time.monotonic()
        page = self.look(user_id, self.asks_for(request_id), "retrieve first page")
        now_s, second = time.monotonic(), _second()
        if page is not NO_PAGE:
            RUN.note(Row(Kind.LIST, page.outcome), second, (now_s - began_s) * 1000)
            if triggered:
                took_ms = (now_s - asked_s) * 1000
                RUN.note(Row(Kind.MASKING, page.masking(took_ms)), second, took_ms)
        return page

    def asks_for(self, request_id: str) -> dict[str, str]:
        """The query of a page."""
        return {"request_id": request_id, "limit": str(PAGE), "wait_ms": str(self.wait_ms)}

    def look(self, user_id: str, asked: dict[str, str], name: str, before: Page = NO_PAGE) -> Page:
        """A page of a user's list; what is no page, or repeats what was shown, counts as a failure."""
        url = f"{self.retrieval_url}/retrieve/{user_id}"
        began_s = time.perf_counter()
        with self.client.get(
            url, params=asked, headers={**self.key_header}, name=name, catch_response=True
        ) as response:
            took_ms = (time.perf_counter() - began_s) * 1000
            page = read_page(_body(response)) if response.status_code == HTTPStatus.OK else NO_PAGE
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                self._count(name, took_ms, response, Result.REFUSED)
            elif response.status_code != HTTPStatus.OK:
                self._count(name, took_ms, response, Result.FAILED, _status(response))
            elif page is NO_PAGE:
                self._count(name, took_ms, response, Result.FAILED, "not a page of a list")
            elif page.repeats(before):
                self._count(name, took_ms, response, Result.FAILED, f"an item was shown twice ({page.outcome})")
            else:
                self._count(name, took_ms, response, Result.OK)
            return page

    def _tell(self, name: str, body: dict[str, object]) -> bool:
        url = f"{self.trigger_url}/{name}"
        began_s = time.perf_counter()
        with self.client.post(url, json=body, headers={**self.key_header}, name=name, catch_response=True) as response:
            took_ms = (time.perf_counter() - began_s) * 1000
            if response.status_code in COME_AGAIN:
                self._count(name, took_ms, response, Result.REFUSED)
            elif response.status_code != HTTPStatus.ACCEPTED:
                self._count(name, took_ms, response, Result.FAILED, _status(response))
            else:
                self._count(name, took_ms, response, Result.OK)
            return bool(response.status_code == HTTPStatus.ACCEPTED)

    def _count(self, name: str, took_ms: float, response: FastResponse, result: Result, reason: str = "") -> None:
        """In the run's timeline and in locust's statistics, where a refusal is an answer like others."""
        RUN.note(Row(Kind.REQUEST, name), _second(), took_ms, result)
        if result is Result.FAILED:
            RUN.note_reason(f"{name}: {reason}")
            response.failure(reason)  # type: ignore[no-untyped-call]
        else:
            response.success()  # type: ignore[no-untyped-call]


def now_ms() -> int:
    """Unix ms, as events carry it."""
    return time.time_ns() // 1_000_000


def _second() -> int:
    return int(time.time())


def _status(response: FastResponse) -> str:
    return f"status {response.status_code}" if response.status_code else "no answer"


def _body(response: FastResponse) -> object:
    try:
        return response.json()
    except ValueError:
        return None
