"""`rankgr bench engine`: every host of the inference engine side by side, on the same weights and users."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import BadRequest
from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import emit, fail, note, people, progress
from services.cli.parse import integers, words


def engine(
    shape: Annotated[str, typer.Option(help="The model: default (CPU), qwen2.5-0.5b (GPU), small.")] = "default",
    hosts: Annotated[str, typer.Option(help="Which hosts, as torch,vllm; default: all.")] = "",
    cases: Annotated[
        str, typer.Option(help="Which cases, as users,repeat (docs/engine-performance.md); default: all.")
    ] = "",
    users: Annotated[str, typer.Option(help="How many users at once, as 1,8,32.")] = "1,8,32",
    rounds: Annotated[int, typer.Option(min=0, max=1000, help="Turns of each host; 0: 7, or 2 with --quick.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Two turns, and only the ends of each curve.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda; default: cuda where there is one.")] = "",
    threads: Annotated[int, typer.Option(min=0, max=1024, help="Threads of each host; 0: one per core.")] = 0,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Our hosts put the backbone's layers through torch.compile.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of weights, catalogue and users.")] = 0,
    reference_command: Annotated[
        str, typer.Option(help="Any other program, timed in turns; its last `N ms/user` counts, else its whole run.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Write result.json, table.md and the curves here.")] = None,
    cache: Annotated[Path, typer.Option(help="Where the benchmark's bundles are kept.")] = Path("var/bench"),
    as_json: AsJson = False,
) -> None:
    """Measure the engine's hosts in one run, in turns, and check that their lists are equal (else exit 1)."""
    from services.bench.engine.main import Options, run

    try:
        options = Options(
            shape=shape,
            hosts=words(hosts),
            at_once=integers(users, "--users"),
            rounds=rounds,
            quick=quick,
            device=device,
            threads=threads,
            seed=seed,
            reference_command=reference_command,
            cache=cache,
            compile=compiled,
            kinds=words(cases),
        )
    except BadRequest as error:
        raise typer.BadParameter(str(error)) from error
    with progress(quiet=as_json) as shown:
        finished = run(options, os.environ, datetime.now(UTC), shown)
    if out is not None:
        for path in finished.write(out):
            if not as_json:
                note(f"wrote {path}")
    if as_json:
        emit(finished.content())
    else:
        people().print(finished.page())
    if not finished.outcome.equal:
        fail("lists differ: see equal_to_reference and equal_to_torch")
        sys.exit(1)
