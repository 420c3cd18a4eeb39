"""`rankgr bench start`: how long the processes of the online path take until they are ready."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from services.cli.data import AsJson
from services.cli.output import emit, note, people
from services.cli.parse import words


def start(
    cases: Annotated[str, typer.Option(help="Which cases, as empty_route,retrieve_page50; default: one of each.")] = "",
    times: Annotated[int, typer.Option(min=1, max=100, help="Starts of each.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Start the servers of `rankgr bench online` again and again, in turn, and time them until they are ready."""
    from services.bench.online.main import run_starts

    found = run_starts(words(cases), times, datetime.now(UTC), note)
    if as_json:
        emit(found.content())
    else:
        people().print(found.page())
