"""`rankgr items`: items leave every list of the running stack, or come back; it reaches the stack through its Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer

from contracts.ids import INT64_MAX, INT64_MIN, ItemId
from services.cli.output import emit, fail, people
from services.gateways.hidden_items.port import HiddenItems

app = typer.Typer(no_args_is_help=True, help="Hide items from every list of the running stack, or show them again.")

Ids = Annotated[list[int], typer.Argument(help="Item ids.", min=INT64_MIN, max=INT64_MAX)]
At = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        help="Hide them from this time on (UTC), as 2026-12-24T18:00:00; default: now.",
        formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"],
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Found = TypeVar("Found")
AT_ONCE = 10_000


@app.command("hide")
def hide(items: Ids, at: At = None, as_json: Json = False) -> None:
    """No answer holds these items any more, within a second; from --at on, if it is given."""
    since = 0 if at is None else round(at.replace(tzinfo=UTC).timestamp() * 1000)
    _changed({ItemId(item): since for item in items}, (), as_json)


@app.command("show")
def show(items: Ids, as_json: Json = False) -> None:
    """These items may be served again."""
    _changed({}, [ItemId(item) for item in items], as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """What is hidden, and from when on."""
    since = sorted(_asked(lambda items: items.read()).since.items())
    if as_json:
        emit({"items": [{"item_id": item, "since": when} for item, when in since]})
        return
    for item, when in since:
        begin = datetime.fromtimestamp(when / 1000, UTC).isoformat(timespec="seconds") if when else "hidden"
        people().print(f"{item}  {begin}")


def _changed(hidden: dict[ItemId, int], shown: Sequence[ItemId], as_json: bool) -> None:
    if len(hidden) + len(shown) > AT_ONCE:
        fail(f"at most {AT_ONCE} items at once")
        raise typer.Exit(2)
    count = _asked(lambda items: items.change(hidden, shown))
    if as_json:
        emit({"hidden": count})
    else:
        people().print(f"{count} items hidden")


def _asked(what: Callable[[HiddenItems], Awaitable[Found]]) -> Found:
    from services.local.hidden_items import open_hidden_items
    from services.runtime.settings import StoreSettings, read_settings

    settings = read_settings(StoreSettings)

    async def run() -> Found:
        async with open_hidden_items(settings.redis_url) as items:
            return await what(items)

    return asyncio.run(run())
