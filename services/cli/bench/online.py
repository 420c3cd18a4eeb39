"""`rankgr bench online`: retrieve and trigger beside a plain version, the bare store and an empty route, in one run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data import AsJson
from services.cli.output import emit, note, people
from services.cli.parse import words


def online(
    cases: Annotated[str, typer.Option(help="Which cases, as retrieve_page50,empty_route; default: all.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Two seconds each, to see that everything runs.")] = False,
    overload: Annotated[bool, typer.Option(help="Offer up to three times what can be served, for a minute.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write result.json, table.md and online.svg here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the online path: the servers on one core, the generator and the stores on the others.  Needs wrk."""
    from services.bench.online.main import Options, run

    outcome = run(Options(words(cases), quick, overload), datetime.now(UTC), note)
    if out is not None:
        import json

        from services.bench.online.figure import draw

        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").write_text(json.dumps(outcome.content(), indent=1) + "\n")
        (out / "table.md").write_text(outcome.page())
        draw(outcome, out)
    if as_json:
        emit(outcome.content())
    else:
        people().print(outcome.page())
