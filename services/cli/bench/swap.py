"""`rankgr bench swap`: from a bundle's publication to its first answer, and what requests notice of the swap."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data import AsJson
from services.cli.output import emit, fail, note, people, progress
from services.cli.serve import ModelHost


def swap(
    shape: Annotated[str, typer.Option(help="The model: small, default, qwen2.5-0.5b.")] = "small",
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Each is a promotion and a rollback.")] = 5,
    rate: Annotated[float, typer.Option(min=0.1, max=10_000, help="Requests a second.")] = 20.0,
    history: Annotated[int, typer.Option(min=1, max=10_000, help="Items of each user's history.")] = 20,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="The engine's threads.")] = 1,
    host: Annotated[ModelHost, typer.Option(help="What runs the engine's model.")] = ModelHost.TORCH,
    out: Annotated[Path | None, typer.Option(help="Write result.json and table.md here.")] = None,
    cache: Annotated[Path, typer.Option(help="Where the benchmark's bundles are kept.")] = Path("var/bench"),
    as_json: AsJson = False,
) -> None:
    """Swap a real engine under load, forward and back; exit 1 where a request was dropped or an answer was mixed."""
    from services.bench.engine.shapes import SHAPES
    from services.bench.swap.main import Options, run, write

    if shape not in SHAPES:
        raise typer.BadParameter(f"known are {', '.join(SHAPES)}", param_hint="--shape")
    options = Options(shape, rounds, rate, history, threads, host.value, cache)
    with progress(quiet=as_json) as shown:
        outcome = run(options, datetime.now(UTC), shown)
    if out is not None:
        for path in write(outcome, out):
            if not as_json:
                note(f"wrote {path}")
    if as_json:
        emit(outcome.content())
    else:
        people().print(outcome.page())
    if outcome.dropped or outcome.mixed:
        fail(f"{outcome.dropped} requests were dropped, {outcome.mixed} answers were mixed")
        sys.exit(1)
