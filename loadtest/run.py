"""`python -m loadtest.run`: a stack on free ports, locust on it without a window, and nothing left behind.

`make load` calls it.  Exit code 1 when a budget was not kept.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from loadtest.circumstances import ROOT
from loadtest.slowable_stack import Slow
from loadtest.stack import OwnStack, StackFailed, own_stack
from services.runtime.embedded_redis import free_port

# What the demo builds.
PRESET = "tiny"
# Not all in the same instant: a crowd is another test.
ARRIVALS_PER_S = 2
# A small machine's crowd would never meet the limit that is meant for a large one.
FLASH_STACK = {"RANKGR_TRIGGER_AT_ONCE": "4"}


class Scenario(StrEnum):
    """Each is a locust file in loadtest/scenarios."""

    STEADY = "steady"
    REPLAY = "replay"
    FLASH = "flash"
    SLOW_DEPENDENCY = "slow-dependency"


@dataclass(frozen=True, slots=True)
class Plan:
    """A run as it is told to locust; `workers` 0: one process does it all."""

    scenario: Scenario
    shoppers: int
    seconds: int
    workers: int
    options: Mapping[str, str]

    def command(self, stack: OwnStack) -> list[str]:
        """Locust's command line."""
        file = f"loadtest/scenarios/{self.scenario.value.replace('-', '_')}.py"
        # A trace is sent by one user per process.
        users = max(1, self.workers) if self.scenario is Scenario.REPLAY else self.shoppers
        told = {
            "--users": str(users),
            "--spawn-rate": str(max(ARRIVALS_PER_S, users // 10)),
            "--run-time": f"{self.seconds}s",
            "--stop-timeout": "10",
            "--trigger-url": stack.urls["trigger"],
            "--retrieval-url": stack.urls["retrieval"],
            "--loglevel": "WARNING",
            **self.options,
        }
        if self.scenario is Scenario.SLOW_DEPENDENCY:
            told["--slow-control"] = stack.slow_control
        if self.workers:
            port = str(free_port())
            told |= {"--processes": str(self.workers), "--master-bind-port": port, "--master-port": port}
        words = [word for pair in told.items() for word in pair]
        return [sys.executable, "-m", "locust", "-f", file, "--headless", "--only-summary", *words]


def run(
    scenario: Annotated[Scenario, typer.Option(help="What happens.")] = Scenario.STEADY,
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle to serve; default: the demo's, built if absent.")
    ] = None,
    shoppers: Annotated[int, typer.Option(min=1, help="How many shoppers at once; of a flash crowd, at first.")] = 8,
    seconds: Annotated[int, typer.Option(min=1, help="For how long.")] = 30,
    workers: Annotated[int, typer.Option(min=0, help="So many processes make the load, and one more counts.")] = 0,
    report: Annotated[Path | None, typer.Option(help="Where report.html, report.md and figures go.")] = None,
    budgets: Annotated[Path | None, typer.Option(help="Other budgets than loadtest/budgets.toml.")] = None,
    trace: Annotated[Path | None, typer.Option(help="replay: the log, a Parquet file.")] = None,
    compress: Annotated[float, typer.Option(help="replay: seconds of the log in one of the run.")] = 60.0,
    scale: Annotated[float, typer.Option(help="replay: users that stand for each one.")] = 1.0,
    from_hour: Annotated[float, typer.Option(help="replay: leave out the log's first hours.")] = 0.0,
    crowd: Annotated[float, typer.Option(min=1, help="flash: so many times the shoppers.")] = 10.0,
    slow: Annotated[Slow, typer.Option(help="slow-dependency: which server.")] = Slow.CACHE,
    slow_by_ms: Annotated[int, typer.Option(min=1, help="slow-dependency: by how much.")] = 200,
    state: Annotated[Path, typer.Option(help="Where the demo's data and bundle are kept.")] = Path("var"),
) -> None:
    """Put load on a stack of its own and hold what was measured against budgets.toml."""
    if scenario is Scenario.REPLAY and trace is None:
        raise typer.BadParameter("a replay needs a log: --trace FILE", param_hint="--trace")
    options = {"--command-line": "python -m loadtest.run " + shlex.join(sys.argv[1:])}
    options |= {"--report": str(report.absolute())} if report else {}
    options |= {"--budgets": str(budgets.absolute())} if budgets else {}
    match scenario:
        case Scenario.REPLAY:
            options |= {"--trace": str(trace.absolute() if trace else ""), "--compress": str(compress)}
            options |= {"--scale": str(scale), "--from-hour": str(from_hour)}
        case Scenario.FLASH:
            options |= {"--crowd": str(crowd)}
        case Scenario.SLOW_DEPENDENCY:
            options |= {"--slow-by-ms": str(slow_by_ms)}
    plan = Plan(scenario, shoppers, seconds, workers, options)
    try:
        code = _carry_out(plan, bundle or _demo_bundle(state), slow)
    except StackFailed as error:
        typer.echo(f"load test: {error}", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(code)


def _carry_out(plan: Plan, bundle: Path, slow: Slow) -> int:
    slowed = slow if plan.scenario is Scenario.SLOW_DEPENDENCY else None
    told = FLASH_STACK if plan.scenario is Scenario.FLASH else {}
    with (
        tempfile.TemporaryDirectory(prefix="rankgr-load-") as directory,
        own_stack(bundle, Path(directory), slowed, told) as stack,
    ):
        typer.echo(f"{plan.scenario}: {plan.seconds} s")
        return subprocess.run(plan.command(stack), cwd=ROOT, check=False).returncode


def _demo_bundle(state: Path) -> Path:
    """Imported here: with a bundle in hand this process needs no torch."""
    from services.cli.output import progress
    from services.local.prepare import prepare

    with progress(quiet=False) as shown:
        return prepare(state, None, PRESET, shown).bundle


if __name__ == "__main__":
    typer.run(run)
