"""What every scenario's locust file has in common: options, the account of several processes, verdict and report.

Importing it is enough: locust calls what is registered here.
"""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from loadtest.budgets import BadBudgets, Budgets, checks, read_budgets
from loadtest.circumstances import Circumstances, circumstances, load_average
from loadtest.report import Report
from loadtest.shop import RUN, ShopUser

BUDGETS = Path(__file__).with_name("budgets.toml")
# A run without an end has no middle: until somebody stops it, it counts as this long.
ENDLESS_S = 600.0
# Of the run that is on; filled when it begins.
BEGAN: list[Circumstances] = []
# Workers that have sent the last of their account.
SETTLED: set[str] = set()
FINISH, LAST = "rankgr-finish", "rankgr-last"
LAST_WITHIN_S = 30.0
LOOK_EVERY_S = 0.05


def run_s(options: Namespace) -> float:
    """How long the run is."""
    return float(options.run_time or ENDLESS_S)


def options_of(environment: Environment) -> Namespace:
    """What locust was told; there is always something where it runs from the command line."""
    found = environment.parsed_options
    assert isinstance(found, Namespace)
    return found


def user_class(environment: Environment) -> type[ShopUser]:
    """The scenario's."""
    (found,) = (kind for kind in environment.user_classes if issubclass(kind, ShopUser))
    return found


# Locust types its hooks, but not how to listen to them.
@events.init_command_line_parser.add_listener
def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--trigger-url", default="http://127.0.0.1:8101", help="Where trigger answers.")
    parser.add_argument("--retrieval-url", default="http://127.0.0.1:8102", help="Where retrieval answers.")
    parser.add_argument("--run-name", default="load", help="Begins every user id: a new name means new users.")
    parser.add_argument("--budgets", default=str(BUDGETS), help="What must be kept.")
    parser.add_argument("--report", default="", help="A directory for report.html, report.md and its figures.")
    parser.add_argument("--command-line", default="", help="What the report names as its command.")


@events.init.add_listener
def _prepare(environment: Environment, **_more: object) -> None:
    """A budgets file that cannot be read is told before anybody waits for a run."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        runner.register_message(FINISH, _finish, concurrent=True)
        return
    if isinstance(runner, MasterRunner):
        runner.register_message(LAST, _receive_last)
    try:
        _budgets(environment)
    except BadBudgets as error:
        sys.exit(f"load test: {error}")


@events.test_start.add_listener
def _begin(environment: Environment, **_more: object) -> None:
    RUN.clear()
    SETTLED.clear()
    options = environment.parsed_options
    told = (options.command_line if options else "") or "python -m locust " + shlex.join(sys.argv[1:])
    if not isinstance(environment.runner, WorkerRunner):
        BEGAN[:] = [circumstances(user_class(environment).scenario, told)]


@events.report_to_master.add_listener
def _send(client_id: str, data: dict[str, Any]) -> None:
    del client_id
    data["rankgr"] = RUN.drain()


@events.worker_report.add_listener
def _receive(client_id: str, data: dict[str, Any]) -> None:
    del client_id
    if found := data.get("rankgr"):
        RUN.merge(*found)


@events.test_stop.add_listener
def _settle(environment: Environment, **_more: object) -> None:
    """Locust gives workers half a second for their last report; a master of ours waits for what is still under way."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        runner.send_message(LAST, {"rankgr": RUN.drain()})
    if not isinstance(runner, MasterRunner):
        return
    runner.send_message(FINISH)
    with gevent.Timeout(environment.stop_timeout + LAST_WITHIN_S, False):
        while len(SETTLED) < len(runner.clients.all):
            gevent.sleep(LOOK_EVERY_S)


def _finish(environment: Environment, msg: Message) -> None:
    """At a worker: users end what they are at; then the rest of the account is sent."""
    del msg
    assert environment.runner is not None
    environment.runner.stop()


def _receive_last(environment: Environment, msg: Message) -> None:
    del environment
    RUN.merge(*msg.data["rankgr"])
    SETTLED.add(msg.node_id)


@events.quitting.add_listener
def _judge(environment: Environment, **_more: object) -> None:
    """Write the table and hold the run against its budgets; the exit code is 1 when one was not kept."""
    if isinstance(environment.runner, WorkerRunner):
        return
    options = options_of(environment)
    if not BEGAN:
        # Locust counts the run's time from before its first user: on a starved machine nobody may have come.
        if options.headless:
            sys.stderr.write("load test: the run ended before it began\n")
            environment.process_exit_code = 1
        return
    about = replace(BEGAN[0], load_after=load_average())
    kind = user_class(environment)
    report = Report(about, RUN, checks(_budgets(environment), RUN), kind.episode(run_s(options)))
    sys.stdout.write(f"\n{report.table()}\n{report.masking()}\n")
    sys.stdout.write("".join(f"failed: {reason}: {count}\n" for reason, count in RUN.reasons.most_common()))
    broken = [check for check in report.checks if not check.kept]
    sys.stdout.write("".join(f"budget broken: {check.line}\n" for check in broken) or f"{report.verdict}\n")
    environment.process_exit_code = 1 if broken else 0
    if options.report:
        try:
            report.write(Path(options.report))
        except OSError as error:
            sys.stderr.write(f"load test: no report: {error}\n")
            environment.process_exit_code = 1


def _budgets(environment: Environment) -> Budgets:
    options = environment.parsed_options
    return read_budgets(Path(options.budgets) if options else BUDGETS, user_class(environment).scenario)
