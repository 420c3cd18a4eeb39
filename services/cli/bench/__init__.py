"""`rankgr bench`: how fast the parts are on this machine; one file per command."""

from __future__ import annotations

import typer

from services.cli.bench import engine, join, online, sids, start, swap, train_stream

app = typer.Typer(no_args_is_help=True, help="Measure the parts of the stack on this machine.")


@app.callback()
def bench() -> None:
    """Measure the parts of the stack on this machine."""


app.command("engine")(engine.engine)
app.command("join")(join.join)
app.command("online")(online.online)
app.command("sids")(sids.sids)
app.command("start")(start.start)
app.command("swap")(swap.swap)
app.command("train-stream")(train_stream.train_stream)
