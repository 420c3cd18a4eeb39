"""Page views while a server behind the stack is slow: cache or event stream, in the run's middle third.

The slowness is a `loadtest.slow_proxy` in front of that server; `--slow-control` is where it is told.
"""

from __future__ import annotations

import socket
import sys
from argparse import ArgumentParser
from typing import ClassVar

import gevent
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

import loadtest.hooks
from loadtest.page_views import PageViews
from loadtest.phases import Episode, middle_third

SLOW_BY_MS = 200
CONTROL_WITHIN_S = 5.0

_planned: list[gevent.Greenlet] = []


class SlowDependency(PageViews):
    """Shoppers whose pages must come, whatever is slow behind them."""

    scenario: ClassVar[str] = "slow-dependency"
    wait_ms: ClassVar[int] = 200

    @classmethod
    def episode(cls, run_s: float) -> Episode | None:
        """The slowness."""
        return middle_third(run_s, "slow")


def tell(control: str, delay_ms: int) -> None:
    """Set the proxy's delay.  Raises OSError when it does not take it."""
    host, _, port = control.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=CONTROL_WITHIN_S) as connection:
        connection.sendall(f"{delay_ms}\n".encode())
        answer = connection.recv(64)
    if answer.strip() != str(delay_ms).encode():
        raise OSError(f"the proxy at {control} did not take a delay of {delay_ms} ms")


@events.init_command_line_parser.add_listener
def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--slow-control", default="", help="HOST:PORT of the slow proxy's control.")
    parser.add_argument("--slow-by-ms", type=int, default=SLOW_BY_MS, help="By how much its answers are delayed.")


@events.init.add_listener
def _reach_proxy(environment: Environment, **_more: object) -> None:
    """A proxy that is not there is told before anybody waits for a run."""
    options = environment.parsed_options
    if options is None or isinstance(environment.runner, WorkerRunner):
        return
    try:
        tell(options.slow_control, 0)
    except (OSError, ValueError) as error:
        where = options.slow_control or "nowhere, see --slow-control"
        sys.exit(f"load test: no slow proxy at {where}: {error}")


@events.test_start.add_listener
def _slow_down(environment: Environment, **_more: object) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    options = loadtest.hooks.options_of(environment)
    when = middle_third(loadtest.hooks.run_s(options), "slow")
    _planned.append(gevent.spawn_later(when.from_s, tell, options.slow_control, options.slow_by_ms))
    _planned.append(gevent.spawn_later(when.to_s, tell, options.slow_control, 0))


@events.test_stop.add_listener
def _leave_as_found(environment: Environment, **_more: object) -> None:
    """A run that is stopped early leaves nothing slow behind."""
    if isinstance(environment.runner, WorkerRunner):
        return
    gevent.killall(_planned)
    _planned.clear()
    tell(loadtest.hooks.options_of(environment).slow_control, 0)
