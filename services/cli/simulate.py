"""`rankgr simulate`: the whole loop against a world that is known, so that what it learns can be measured."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import emit, note, people, progress
from services.cli.up import Level, LogLevel

app = typer.Typer(no_args_is_help=True, help="Play a known world against the stack, and measure what it learns.")


@app.callback()
def simulate() -> None:
    """Play a known world against the stack, and measure what it learns."""


@app.command("drift")
def drift(
    users: Annotated[int, typer.Option(min=1, help="Shoppers; each comes once a period at most.")] = 600,
    items: Annotated[int, typer.Option(min=20, help="Of the marketplace, those to come included.")] = 240,
    requests: Annotated[int, typer.Option(min=1, help="In a period.")] = 400,
    before: Annotated[int, typer.Option(min=1, help="Periods before tastes change.")] = 2,
    after: Annotated[int, typer.Option(min=1, help="Periods from the change on.")] = 5,
    page: Annotated[int, typer.Option(min=1, max=100, help="Items shown for a request.")] = 10,
    tokens: Annotated[int, typer.Option(min=1, help="Training budget of each bundle.")] = 400_000,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of the marketplace and the models.")] = 0,
    update_every: Annotated[float, typer.Option(min=5.0, help="Seconds between publications, on processes.")] = 30.0,
    learning_rate: Annotated[float | None, typer.Option(help="Default: the trainer's.")] = None,
    batch_samples: Annotated[int | None, typer.Option(min=1, help="Default: the trainer's.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(min=0, help="Default: the trainer's.")] = None,
    replay_share: Annotated[float | None, typer.Option(min=0, max=0.9, help="Default: the trainer's.")] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="Without sockets: join, learner, decoder.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A small world, small models: coarse.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write result.json, table.md and drift.svg here.")] = None,
    cache: Annotated[Path, typer.Option(help="Where the run's bundles are kept.")] = Path("var/simulate"),
    log_level: LogLevel = Level.WARNING,
    as_json: AsJson = False,
) -> None:
    """Change a marketplace's tastes in mid-run: hit rate with updates, without, and of a model trained anew."""
    from services.local.logs import log_quietly
    from services.simulate.main import Learning, Options, run, write

    log_quietly(log_level.value)
    options = Options(
        users=users,
        items=items,
        requests=requests,
        before=before,
        after=after,
        page=page,
        tokens=tokens,
        seed=seed,
        update_every_s=update_every,
        learning=Learning(learning_rate, batch_samples, warmup_steps, replay_share),
        in_process=in_process,
        cache=cache,
    )
    with progress(quiet=as_json) as shown:
        report = run(options.small() if quick else options, datetime.now(UTC), shown, note)
    if out is not None:
        for path in write(report, out):
            if not as_json:
                note(f"wrote {path}")
    if as_json:
        emit(report.content())
    else:
        people().print(report.page())
