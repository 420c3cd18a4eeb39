"""`rankgr items`: items join the served catalogue or leave it, by way of the bundle store; or they leave every list of
the running stack at once, and come back, by way of its Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from contracts.ids import INT64_MAX, INT64_MIN, ItemId
from services.cli.bundles import Store
from services.cli.output import emit, fail, note, people
from services.gateways.hidden_items.port import HiddenItems

if TYPE_CHECKING:
    from model.bundle.change_items import ChangeCatalog

app = typer.Typer(
    no_args_is_help=True, help="Items join or leave the served catalogue; or are hidden at once, and shown again."
)

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
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, instead of doing nothing at all.")]
Canary = Annotated[bool, typer.Option("--canary", help="To the canary's replicas alone.")]
CanaryFor = Annotated[
    float, typer.Option(min=0, help="To the canary, and after so many seconds to everybody; waits for it.")
]
GoldenMs = Annotated[float, typer.Option(min=0, help="What a golden request may take, as a median.")]
Rows = Annotated[Path, typer.Argument(help="JSON lines, CSV or Parquet with the columns of items.parquet.")]
AT_ONCE = 10_000


@app.command("add")
def add(
    file: Rows,
    skip_bad: SkipBad = False,
    encoder: Annotated[
        Path | None, typer.Option(help="The sentence encoder that the bundle's features came from, where they did.")
    ] = None,
    canary: Canary = False,
    canary_for: CanaryFor = 0.0,
    golden_ms: GoldenMs = 5000.0,
    store: Store = "",
    as_json: Json = False,
) -> None:
    """Items join the catalogue that is served: a new bundle with the same weights, through the gate, promoted."""
    from model.bundle.change_items import AddItems
    from model.data.new_items import read_new_items
    from model.semantic_id.sentence_encoder import SentenceEncoder

    rows, bad = read_new_items(file)
    change = AddItems(rows, bad, SentenceEncoder.read(encoder) if encoder else None)
    _publish(change, "added", _Way(store, canary, canary_for, golden_ms, skip_bad, as_json))


@app.command("retire")
def retire(
    items: Annotated[list[int] | None, typer.Argument(help="Item ids.", min=0, max=INT64_MAX)] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="JSON lines, CSV or Parquet with a column item_id.")
    ] = None,
    skip_bad: SkipBad = False,
    canary: Canary = False,
    canary_for: CanaryFor = 0.0,
    golden_ms: GoldenMs = 5000.0,
    store: Store = "",
    as_json: Json = False,
) -> None:
    """Items leave the catalogue that is served, for good; `hide` takes them out of lists that are there already."""
    from model.bundle.change_items import RetireItems
    from model.data.new_items import BadRow, read_new_items

    if bool(items) == bool(file):
        raise typer.BadParameter("give item ids, or --file FILE")
    asked, bad = list(items or []), list[BadRow]()
    if file:
        rows, bad = read_new_items(file)
        asked = [row.item_id for row in rows]
    _publish(RetireItems(asked, bad), "retired", _Way(store, canary, canary_for, golden_ms, skip_bad, as_json))


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


@dataclass(frozen=True, slots=True)
class _Way:
    """How a change gets into the store."""

    store: str
    canary: bool
    canary_for: float
    golden_ms: float
    skip_bad: bool
    as_json: bool


def _publish(change: ChangeCatalog, done: str, way: _Way) -> None:
    from contracts.errors import ItemsRefused
    from services.bundles.change_items import ChangeItems
    from services.bundles.gate import Gate, GateRules
    from services.bundles.promote import PromoteBundle
    from services.cli.bundles import store_of, tell, wait_for_canary
    from services.gateways.bundle_store.port import Channel
    from services.local.bundle_store import who
    from services.runtime.clock import SystemClock

    opened, settings = store_of(way.store)
    clock, channel = SystemClock(), Channel.CANARY if way.canary or way.canary_for else Channel.LATEST
    promote = PromoteBundle(opened, clock, who(), settings.bundle_keep, Gate(GateRules(way.golden_ms), clock))
    try:
        changed = ChangeItems(promote, clock)(change, channel, skip_bad=way.skip_bad, hold_s=way.canary_for or None)
    except ItemsRefused as error:
        for line in error.lines:
            fail(line)
        raise typer.Exit(1) from error
    if way.canary_for and changed.promoted is not None:
        wait_for_canary(opened, changed.promoted.bundle.version)
        channel = Channel.LATEST
    refused = [str(one) for one in changed.refused]
    if way.as_json and changed.promoted is None:
        emit({"version": changed.before, "moved": False, done: 0, "refused": refused})
    if not way.as_json:
        for line in refused:
            note(line)
        people().print(f"{changed.items} items {done}")
    if changed.promoted is not None:
        tell(changed.promoted, channel, way.as_json, {done: changed.items, "refused": refused})


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
