"""A real log sent again: each row at its due time, whether or not earlier ones were answered.

One locust user per process sends its share of the log; how late rows were sent is measured.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections import defaultdict, deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import ClassVar

import gevent
from gevent.pool import Group
from locust import events, task
from locust.env import Environment
from locust.runners import MasterRunner

import loadtest.hooks  # noqa: F401 - options, verdict and report
from contracts.messages import MAX_RECENT
from loadtest.budgets import SENDING
from loadtest.shop import OTHER_WORK_S, RUN, ShopUser, now_ms
from loadtest.trace import BadTrace, Due, Pace, TraceRow, item_in, read_trace, schedule

# A user's last items, which a shop knows and sends along.
RECENT = 8
# Open loop: what is unanswered must not hold up what is due.
CONNECTIONS = 1000
SCENE = "search"
ROWS: list[TraceRow] = []

Event = dict[str, str | int]


class Replay(ShopUser):
    """Sends this process's share of the log; several of them in one process take turns."""

    scenario: ClassVar[str] = "replay"
    wait_ms: ClassVar[int] = 500
    concurrency = CONNECTIONS
    share: ClassVar[Iterator[Due] | None] = None
    began_s: ClassVar[float] = 0.0
    recent: ClassVar[defaultdict[str, deque[Event]]] = defaultdict(lambda: deque(maxlen=min(RECENT, MAX_RECENT)))
    requests: ClassVar[count[int]] = count(1)

    def on_start(self) -> None:
        """The first one in a process begins its clock."""
        super().on_start()
        self.sending = Group()
        if Replay.share is None:
            options = self.environment.parsed_options
            index = getattr(self.environment.runner, "worker_index", 0)
            shares = options.trace_shares
            mine = Pace(options.compress, options.scale, index, shares) if index < shares else None
            Replay.share = iter(()) if mine is None else schedule(ROWS, mine)
            Replay.began_s = time.monotonic()

    def on_stop(self) -> None:
        """What was sent is waited for, as locust waits for a task."""
        self.sending.join(timeout=self.environment.stop_timeout or None)

    @task
    def send_next(self) -> None:
        """Wait for the next row's due time and send it on its way."""
        due = next(Replay.share, None) if Replay.share is not None and self.shop_front else None
        if due is None:
            gevent.sleep(1.0)
            return
        gevent.sleep(max(0.0, Replay.began_s + due.due_s - time.monotonic()))
        late_s = time.monotonic() - Replay.began_s - due.due_s
        RUN.note(SENDING, int(time.time()), late_s * 1000)
        self.sending.start(gevent.Greenlet(self._send, due))

    def _send(self, due: Due) -> None:
        user_id = f"{self.run_name}-{due.user_id}"
        recent = Replay.recent[user_id]
        if due.row.item_id is None:
            self._open_page(user_id, due.row.device, list(recent))
            return
        event: Event = {"item_id": item_in(self.shop_front, due.row.item_id), "behavior": due.row.behavior}
        event["timestamp"] = now_ms()
        recent.append(event)
        self.interact([{"user_id": user_id, **event}])

    def _open_page(self, user_id: str, device: str, recent: list[Event]) -> None:
        request_id = f"{user_id}-{now_ms()}-{next(Replay.requests)}"
        body: dict[str, object] = {"user_id": user_id, "request_id": request_id, "scene": SCENE}
        body |= {"context": {"device": device}, "recent": recent}
        began_s = time.monotonic()
        triggered = self.trigger(body)
        gevent.sleep(OTHER_WORK_S)
        page = self.first_page(user_id, request_id, began_s, triggered=triggered)
        about: Event = {"user_id": user_id, "request_id": request_id, "behavior": "exposure", "timestamp": now_ms()}
        self.interact([{**about, "item_id": item, "position": place} for place, item in enumerate(page.items)])


@events.init_command_line_parser.add_listener
def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--trace", default="", help="The log: a Parquet file.")
    parser.add_argument("--compress", type=float, default=60.0, help="Seconds of the log in one of the run.")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="Users that stand for each one; below 1 a share of them."
    )
    parser.add_argument("--from-hour", type=float, default=0.0, help="Leave out the log's first hours.")
    parser.add_argument(
        "--trace-shares", type=int, default=1, help="Processes that share the log; workers are counted."
    )


@events.init.add_listener
def _read(environment: Environment, **_more: object) -> None:
    """A log that cannot be read is told before anybody waits for a run."""
    options = environment.parsed_options
    if options is None:
        return
    try:
        Pace(options.compress, options.scale)
        ROWS[:] = read_trace(Path(options.trace), options.from_hour * 3600)
    except BadTrace as error:
        sys.exit(f"load test: {error}")
    if isinstance(environment.runner, MasterRunner):
        # Sent to the workers with the other options when the run begins.
        options.trace_shares = options.expect_workers


@events.test_start.add_listener
def _begin(environment: Environment, **_more: object) -> None:
    """Locust's page can run the log again."""
    del environment
    Replay.share = None
    Replay.recent.clear()
