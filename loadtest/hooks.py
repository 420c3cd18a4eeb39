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

from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtest.budgets import BadBudgets, Budgets, checks, read_budgets
from loadtest.circumstances import Circumstances, circumstances, load_average
from loadtest.report import Report
from loadtest.shop import RUN, ShopUser

BUDGETS = Path(__file__).with_name("budgets.toml")
# A run without an end has no middle: until somebody stops it, it counts as this long.
ENDLESS_S = 600.0
# Of the run that is on; filled when it begins.
BEGAN: list[Circumstances] = []


def run_s(options: Namespace) -> float:
    """How long the run is."""
    return float(options.run_time or ENDLESS_S)


def user_class(environment: Environment) -> type[ShopUser]:
    """The scenario's."""
    (found,) = (kind for kind in environment.user_classes if issubclass(kind, ShopUser))
    return found


# Locust types its hooks, but not how to listen to them.
@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--trigger-url", default="http://127.0.0.1:8101", help="Where trigger answers.")
    parser.add_argument("--retrieval-url", default="http://127.0.0.1:8102", help="Where retrieval answers.")
    parser.add_argument("--run-name", default="load", help="Begins every user id: a new name means new users.")
    parser.add_argument("--budgets", default=str(BUDGETS), help="What must be kept.")
    parser.add_argument("--report", default="", help="A directory for report.html, report.md and its figures.")
    parser.add_argument("--command-line", default="", help="What the report names as its command.")


@events.init.add_listener  # type: ignore[untyped-decorator]
def _check_budgets(environment: Environment, **_more: object) -> None:
    """A budgets file that cannot be read is told before anybody waits for a run."""
    if isinstance(environment.runner, WorkerRunner):
        return
    try:
        _budgets(environment)
    except BadBudgets as error:
        sys.exit(f"load test: {error}")


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, **_more: object) -> None:
    RUN.clear()
    options = environment.parsed_options
    told = (options.command_line if options else "") or "python -m locust " + shlex.join(sys.argv[1:])
    if not isinstance(environment.runner, WorkerRunner):
        BEGAN[:] = [circumstances(user_class(environment).scenario, told)]


@events.report_to_master.add_listener  # type: ignore[untyped-decorator]
def _send(client_id: str, data: dict[str, Any]) -> None:
    del client_id
    data["rankgr"] = RUN.drain()


@events.worker_report.add_listener  # type: ignore[untyped-decorator]
def _receive(client_id: str, data: dict[str, Any]) -> None:
    del client_id
    if found := data.get("rankgr"):
        RUN.merge(*found)


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _judge(environment: Environment, **_more: object) -> None:
    """Write the table and hold the run against its budgets; the exit code is 1 when one was not kept."""
    if isinstance(environment.runner, WorkerRunner) or not BEGAN:
        return
    options = environment.parsed_options
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
