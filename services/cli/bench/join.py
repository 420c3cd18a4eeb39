"""`rankgr bench join`: interactions a second through the join of sessions, and memory per open session."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import emit, people


def join(
    views: Annotated[int, typer.Option(min=1, help="Page views, of about eleven interactions each.")] = 20_000,
    users: Annotated[int, typer.Option(min=1, help="Users that they are spread over.")] = 5_000,
    sessions: Annotated[int, typer.Option(min=1, help="Open sessions whose memory is measured.")] = 5_000,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of users and items.")] = 0,
    whole: Annotated[
        bool, typer.Option("--whole", help="Also the process's loop: a real stream, its state on a disk.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the pure join: messages read, joined, samples and state written as bytes; --whole: the process too."""
    from services.bench.join.main import run

    outcome = run(views, users, sessions, seed, datetime.now(UTC), whole=whole)
    if as_json:
        emit(outcome.content())
    else:
        people().print(outcome.page())
