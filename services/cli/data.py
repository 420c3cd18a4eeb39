"""`rankgr data`: look at a data set, or make one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from services.cli.output import emit, people

app = typer.Typer(no_args_is_help=True, help="Look at a data set, or make one.")

# What every generator behind a build takes.
LARGEST_SEED = 2**32 - 1
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def describe(
    directory: Annotated[Path, typer.Argument(help="A directory with interactions.parquet and items.parquet.")],
    as_json: AsJson = False,
) -> None:
    """Count users, items and interactions of a data set."""
    from model.data.data_set import describe as describe_data
    from model.data.data_set import read_data_set

    _show(describe_data(read_data_set(directory)), as_json)


@app.command()
def synth(
    out: Annotated[Path, typer.Option(help="Where to write it.")],
    users: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many users.")] = 2000,
    items: Annotated[int, typer.Option(min=20, max=10_000_000, help="How many items.")] = 1500,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Equal seeds make equal data.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the data set that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a synthetic marketplace."""
    from model.data.data_set import check_no_data_set, write_data_set
    from model.data.data_set import describe as describe_data
    from model.data.synthetic import make_marketplace

    if not force:
        check_no_data_set(out)
    data = make_marketplace(users=users, items=items, seed=seed)
    write_data_set(data, out)
    _show(describe_data(data), as_json)


def _show(description: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        emit(description)
        return
    for name, value in description.items():
        if isinstance(value, dict):
            people().print(f"{name}:")
            for inner, count in value.items():
                people().print(f"  {inner}: {count:,}")
        else:
            people().print(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")
