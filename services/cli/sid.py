"""`rankgr sid`: what a bundle's semantic ids look like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.data import AsJson
from services.cli.output import emit, people

app = typer.Typer(no_args_is_help=True, help="Look at a bundle's semantic ids.")


@app.callback()
def sid() -> None:
    """Look at a bundle's semantic ids."""


@app.command()
def report(
    bundle: Annotated[Path, typer.Argument(help="A bundle directory.")],
    as_json: AsJson = False,
) -> None:
    """Collisions, use and balance of the codes."""
    from model.bundle.prompt_side import read_prompt_side
    from model.semantic_id.report import sid_report

    catalog = read_prompt_side(bundle).catalog
    content = sid_report(catalog.codes, catalog.level_sizes)
    if as_json:
        emit(content)
        return
    for name, value in content.items():
        people().print(f"{name}: {value}")
