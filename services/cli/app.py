"""The root of `rankgr`: its commands, and what an error becomes (exit 1 and one line; 2 is wrong use)."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from contracts.errors import RankGRError
from services.cli import (
    ablate,
    baseline,
    behaviour_order,
    bench,
    build,
    bundles,
    compare,
    data,
    dead_letters,
    demo,
    evaluate,
    items,
    keys,
    misses,
    recommend,
    serve,
    sid,
    simulate,
    topics,
    train,
    up,
)
from services.cli.output import fail

OURS = ("contracts", "model", "services")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Generative-retrieval recommendation, computed beside the request.",
)
app.add_typer(data.app, name="data")
app.command("build")(build.build)
app.command("train")(train.train)
app.add_typer(sid.app, name="sid")
app.command("recommend")(recommend.recommend)
app.command("eval")(evaluate.evaluate)
app.command("baseline")(baseline.baseline)
app.command("compare")(compare.compare)
app.command("misses")(misses.misses)
app.command("ablate")(ablate.ablate)
app.command("behaviour-order")(behaviour_order.behaviour_order)
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")
app.add_typer(items.app, name="items")
app.add_typer(bundles.app, name="bundles")
app.add_typer(topics.app, name="topics")
app.add_typer(dead_letters.app, name="dead-letters")
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.add_typer(bench.app, name="bench")
app.add_typer(simulate.app, name="simulate")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rankgr {version('rankgr')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Generative-retrieval recommendation, computed beside the request."""


def main() -> None:
    """Run the command line; what went wrong becomes one line on stderr."""
    # Read by OpenMP when torch is loaded: threads that spin while they wait for each other make small matrices
    # ten times slower as soon as anything else wants the cores (measured while building the demo's bundle).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except RankGRError as error:
        fail(str(error))
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in OURS:
            raise
        # An image holds what its process needs, and all commands.
        fail(f"this command needs the package {error.name}, which is not installed here (an extra of rankgr has it)")
        sys.exit(1)
    except OSError as error:
        fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
