"""Page views of a shop, for locust: trigger, the page's other work, retrieve, what the shopper did with the list.

Speaks to two addresses, as a shop does; at the end the run is held against budgets.toml.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from itertools import count
from pathlib import Path
from random import Random

import gevent
from locust import FastHttpUser, between, events, task
from locust.env import Environment
from locust.runners import WorkerRunner
from locust.stats import StatsEntry

from loadtest.budgets import BadBudgets, Budgets, Measured, overruns, read_budgets
from loadtest.page import NO_PAGE, Page, read_page
from loadtest.report import table
from loadtest.shopper import Shopper

# What a page does meanwhile: parsing, features, other retrievals.
OTHER_WORK_S = 0.1
PAGE = 20
WAIT_MS = 2000
VIEWS_OF_A_SHOPPER = 20
SHOP_FRONT = 200
LIST = "LIST"
BUDGETS = Path(__file__).with_name("budgets.toml")

_shoppers = count(1)


class PageViews(FastHttpUser):
    """Shoppers, one after the other: each comes by for some page views, then another one arrives."""

    host = "http://127.0.0.1"
    wait_time = between(0.5, 1.5)

    def on_start(self) -> None:
        """Look at the shop's front; a user whom nobody knows gets the popular items."""
        options = self.environment.parsed_options
        self.trigger_url: str = options.trigger_url.rstrip("/")
        self.retrieval_url: str = options.retrieval_url.rstrip("/")
        self.run_name: str = options.run_name
        self.shop_front = self._look("nobody", {"limit": str(SHOP_FRONT)}, "retrieve popular").items
        self.shopper = self._next_shopper()

    @task
    def view_page(self) -> None:
        """One page view, from its trigger to its feedback."""
        if self.shopper.views >= VIEWS_OF_A_SHOPPER:
            self.shopper = self._next_shopper()
        shopper = self.shopper
        body = shopper.open_page(_now_ms())
        request_id = str(body["request_id"])
        began_s = time.monotonic()
        self.client.post(f"{self.trigger_url}/trigger", json=body, name="trigger")
        gevent.sleep(OTHER_WORK_S)
        asked = {"request_id": request_id, "limit": str(PAGE), "wait_ms": str(WAIT_MS)}
        page = self._look(shopper.user_id, asked, "retrieve first page")
        self._count_list(page.outcome, (time.monotonic() - began_s) * 1000)
        shown = page.items
        if page.next_cursor and shopper.wants_more():
            more = self._look(shopper.user_id, {**asked, "cursor": page.next_cursor}, "retrieve next page", seen=shown)
            shown = shown + more.items
        feedback = {"events": shopper.react(shown, request_id, _now_ms())}
        if shown:
            self.client.post(f"{self.trigger_url}/interactions", json=feedback, name="interactions")

    def _next_shopper(self) -> Shopper:
        name = f"{self.run_name}-{next(_shoppers)}"
        return Shopper(name, self.shop_front, Random(name))

    def _look(self, user_id: str, asked: dict[str, str], name: str, seen: tuple[int, ...] = ()) -> Page:
        """A page of a user's list; what is no page, or repeats what was shown, counts as a failure."""
        url = f"{self.retrieval_url}/retrieve/{user_id}"
        with self.client.get(url, params=asked, name=name, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")
                return NO_PAGE
            page = read_page(response.json())
            if page is NO_PAGE:
                response.failure("not a page of a list")
            elif len({*page.items, *seen}) != len(page.items) + len(seen):
                response.failure("an item was shown twice")
            return page

    def _count_list(self, outcome: str, ready_ms: float) -> None:
        self.environment.events.request.fire(
            request_type=LIST,
            name=outcome,
            response_time=ready_ms,
            response_length=0,
            exception=None,
            context={},
        )


# Locust types its hooks, but not how to listen to them.
@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--trigger-url", default="http://127.0.0.1:8101", help="Where trigger answers.")
    parser.add_argument("--retrieval-url", default="http://127.0.0.1:8102", help="Where retrieval answers.")
    parser.add_argument("--run-name", default="load", help="Begins every user id: a new name means new users.")
    parser.add_argument("--budgets", default=str(BUDGETS), help="What must be kept.")


@events.init.add_listener  # type: ignore[untyped-decorator]
def _check_budgets(environment: Environment, **_more: object) -> None:
    """A budgets file that cannot be read is told before anybody waits for a run."""
    try:
        _budgets(environment)
    except BadBudgets as error:
        sys.exit(f"load test: {error}")


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _judge(environment: Environment, **_more: object) -> None:
    """Write the table and hold it against the budgets; the exit code is 1 when one was not kept."""
    if isinstance(environment.runner, WorkerRunner):
        return
    rows: list[StatsEntry] = list(environment.stats.entries.values())
    requests = {row.name: _measured(row) for row in rows if row.method != LIST}
    lists = {row.name: _measured(row) for row in rows if row.method == LIST}
    broken = overruns(_budgets(environment), requests, lists)
    sys.stdout.write("\n" + table(requests, lists) + "\n")
    sys.stdout.write("".join(f"budget broken: {line}\n" for line in broken) or "every budget kept\n")
    environment.process_exit_code = 1 if broken else 0


def _budgets(environment: Environment) -> Budgets:
    options = environment.parsed_options
    return read_budgets(Path(options.budgets) if options else BUDGETS)


def _measured(row: StatsEntry) -> Measured:
    """Locust's times are rounded: to the millisecond below 100, to ten of them above."""
    return Measured(
        name=row.name if row.method != LIST else f"list: {row.name}",
        count=row.num_requests,
        failures=row.num_failures,
        per_second=row.total_rps,
        p50_ms=row.get_response_time_percentile(0.50),
        p95_ms=row.get_response_time_percentile(0.95),
        p99_ms=row.get_response_time_percentile(0.99),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
