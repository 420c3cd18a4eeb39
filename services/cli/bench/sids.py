"""`rankgr bench sids`: time and memory of making semantic ids, for a catalogue of any size."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import BadRequest
from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import emit, note, people, progress


def sids(
    items: Annotated[int, typer.Option(min=1, help="How many items.")] = 1_000_000,
    dims: Annotated[int, typer.Option(min=1, max=65_536, help="Length of their vectors.")] = 256,
    levels: Annotated[str, typer.Option(help="Codes per level, as 2x2048 or 1024,4096.")] = "2x2048",
    cap: Annotated[int, typer.Option(min=1, help="Items per id at most.")] = 1,
    method: Annotated[str, typer.Option(help="rkmeans or rqvae.")] = "rkmeans",
    rqvae: Annotated[str, typer.Option(help="Settings of the RQ-VAE, as steps=3000,latent=64.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Few items, to see that everything runs.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of vectors and clusters.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write result.json and table.md here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how long semantic ids take for made-up items, stage by stage, and how much memory."""
    from model.semantic_id.settings import SidSettings, check_method, parse_levels, parse_rqvae
    from services.bench.sids.main import Options, run, write

    try:
        settings = SidSettings(
            method=check_method(method), level_sizes=parse_levels(levels), cap=cap, dims=dims, seed=seed,
            rqvae=parse_rqvae(rqvae),
        )  # fmt: skip
        options = Options(items, settings, quick)
    except BadRequest as error:
        raise typer.BadParameter(str(error)) from error
    with progress(quiet=as_json) as shown:
        outcome = run(options, len(os.sched_getaffinity(0)), datetime.now(UTC), shown)
    if out is not None:
        for path in write(outcome, out):
            if not as_json:
                note(f"wrote {path}")
    if as_json:
        emit(outcome.content())
    else:
        people().print(outcome.page())
