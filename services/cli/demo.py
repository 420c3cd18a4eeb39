"""`rankgr demo`: build a small bundle, start the stack, and show what it recommends to users of the data."""

from __future__ import annotations

import asyncio
import json
import secrets
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from services.cli.build import PresetName, check_preset
from services.cli.output import note, people, progress
from services.cli.up import Level, LogLevel, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.manifest import Manifest
    from model.data.timelines import HeldOut
    from model.semantic_id.catalog import Catalog
    from services.local.demo import Visit
    from services.local.embedded_servers import EmbeddedServers
    from services.local.prepare import Prepared

TITLE_WIDTH = 64
RECENT_SHOWN = 6
STAGES = {
    "stream": "stream",
    "waiting": "waiting for a place",
    "prompt": "history and prompt",
    "queue": "engine queue",
    "prefill": "prefill",
    "level1": "level 1",
    "level2": "level 2",
    "expand": "items",
    "store": "store",
}


def demo(
    data: Annotated[Path | None, typer.Option(help="A data set directory; default: a synthetic marketplace.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the table; exit 0 if every list is fresh.")] = False,
    preset: PresetName = "tiny",
    state: State = Path("var"),
    log_level: LogLevel = Level.WARNING,
) -> None:
    """Build a bundle (once), start every process, let some users come by, and show the lists they get."""
    from model.bundle.prompt_side import read_prompt_side
    from services.local.demo import choose_users
    from services.local.embedded_servers import embedded_servers
    from services.local.examples import offer_examples
    from services.local.logs import log_quietly
    from services.local.prepare import prepare
    from services.local.stack import check_ports

    check_preset(preset)
    log_quietly(log_level.value)
    check_ports()
    with progress(quiet=False) as shown:
        prepared = prepare(state, data, preset, shown)
    _introduce(prepared)
    side = read_prompt_side(prepared.bundle)
    users = choose_users(prepared.data, side.prompt_format.history_level)
    offer_examples(prepared, state)
    with embedded_servers(state / "servers") as servers:
        fresh = asyncio.run(_run(prepared, side.catalog, servers, users, once))
    if once and not fresh:
        sys.exit(1)


async def _run(
    prepared: Prepared, catalog: Catalog, servers: EmbeddedServers, users: Sequence[HeldOut], once: bool
) -> bool:
    from services.local.demo import visit
    from services.local.stack import run_stack
    from services.local.until_stopped import until_stopped
    from services.runtime.clock import SystemClock

    clock = SystemClock()
    async with run_stack(prepared.bundle, servers, clock, note) as stack:
        # A fresh name: what an earlier demo left in the stream must not be taken for this one's.
        visits = await visit(stack, users, clock, f"demo-{secrets.token_hex(3)}")
        for one in visits:
            _show(one, catalog)
        _summarise(visits, prepared.manifest)
        if not once:
            _invite(stack.urls, visits[0], clock.now_ms())
            await until_stopped(stack)
    return all(one.outcome == "fresh" for one in visits)


def _introduce(prepared: Prepared) -> None:
    manifest = prepared.manifest
    how = "reused" if prepared.reused else "built"
    people().print(
        f"bundle {how}: {prepared.bundle}  (model {manifest.model_version}, catalogue {manifest.catalog_version}, "
        f"data {manifest.data['name']})"
    )


def _show(visit: Visit, catalog: Catalog) -> None:
    out = people()
    out.print()
    out.print(f"user {visit.user}", style="bold")
    out.print("  recently")
    for past in visit.history[-RECENT_SHOWN:]:
        out.print(f"    {past.behavior:<9} {past.item_id:>9}  {_title(catalog, past.item_id)}")
    out.print(f"  recommended ({visit.outcome})")
    for place, item in enumerate(visit.items, start=1):
        sid = item["sid"]
        shown = "-" if not isinstance(sid, list) else "-".join(str(code) for code in sid)
        score = item["score"]
        points = "-" if not isinstance(score, float | int) else f"{score:.3f}"
        number = int(str(item["item_id"]))
        out.print(f"    {place:>2}  {shown:>9}  {points:>8}  {number:>9}  {_title(catalog, number)}")
    out.print(f"  trigger answered in {visit.trigger_ms:.1f} ms; {_way_of(visit)}")
    out.print(f"  retrieve, 100 ms later, answered in {visit.retrieve_ms:.1f} ms")


def _way_of(visit: Visit) -> str:
    """When the list was ready, and what that time was spent on."""
    if visit.ready_after_ms is None:
        return "nothing is known of a list for it"
    parts = [f"{name} {visit.stages_ms[stage]:.0f}" for stage, name in STAGES.items() if stage in visit.stages_ms]
    return f"list ready {visit.ready_after_ms:.0f} ms after it ({', '.join(parts)} ms)"


def _summarise(visits: Sequence[Visit], manifest: Manifest) -> None:
    out = people()
    out.print()
    fresh = sum(visit.outcome == "fresh" for visit in visits)
    out.print(f"{fresh} of {len(visits)} lists fresh")
    truths = sorted({name.split(" ")[0] for name in manifest.metrics if " " in name})
    users = int(manifest.metrics.get("test_users", 0))
    for truth in truths:
        ours, popular = manifest.metrics[f"{truth} HR@20"], manifest.metrics[f"{truth} HR@20 popularity"]
        out.print(f"HR@20 on {users} held-out users, truth {truth}: {ours:.4f}; popularity: {popular:.4f}")


def _invite(urls: dict[str, str], visit: Visit, now_ms: int) -> None:
    out = people()
    out.print()
    for name, url in urls.items():
        out.print(f"{name:<12}{url}")
    item = visit.items[0]["item_id"]
    event = {"user_id": visit.user, "item_id": item, "behavior": "click", "timestamp": now_ms}
    retrieve = f"{urls['retrieval']}/retrieve/{quote(visit.user, safe='')}?limit=5&request_id=r-1&wait_ms=2000"
    out.print()
    for line in (
        _post(f"{urls['trigger']}/trigger", {"user_id": visit.user, "request_id": "r-1"}),
        f"curl -s {shlex.quote(retrieve)}",
        _post(f"{urls['trigger']}/interactions", {"events": [event]}),
    ):
        out.print(line, soft_wrap=True)
    out.print()
    out.print("serving; Ctrl-C stops all")


def _post(url: str, body: object) -> str:
    return f"curl -s {url} -H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}"


def _title(catalog: Catalog, item: int) -> str:
    title = catalog.title_of(item) or "(no title)"
    return title if len(title) <= TITLE_WIDTH else title[: TITLE_WIDTH - 1] + "…"
