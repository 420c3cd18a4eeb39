"""The routes of the page *System*: how everything is, bundles, dead letters, hidden items.  `api` adds them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.responses import StreamingResponse

from contracts.errors import BadRequest
from contracts.messages import DeadLetter
from services.bundles.promote_stored import PromoteStored
from services.bundles.roll_back import RollBack
from services.console import shown
from services.console.bodies import HiddenBody, PromoteBody, ReplayBody, RollbackBody
from services.console.look_at_system import LookAtSystem
from services.console.patience import patiently
from services.console.stored_bundles import bundles_now
from services.console.views import Events, Views
from services.console.words import Words
from services.gateways.bundle_store.port import BundleStore, Channel
from services.gateways.event_stream.port import EventStream
from services.gateways.event_stream.replay import replay
from services.gateways.hidden_items.port import HiddenItems
from services.runtime.clock import Clock
from services.runtime.gate import CALLER

LETTERS_SHOWN = 20
HIDDEN_SHOWN = 100
LOOK_EVERY_S = 2.0
# How soon a view notices that the process is about to end.
STEP_S = 0.25

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SystemParts:
    """What these routes stand on.  `store` None: there is no bundle store."""

    look: LookAtSystem
    store: BundleStore | None
    stream: EventStream
    hidden: HiddenItems
    words: Words
    views: Views
    clock: Clock
    view_s: float
    new_member: Callable[[], str]


def add_system_routes(app: FastAPI, parts: SystemParts) -> None:
    """`/api/system/live`, and a route per panel and action."""

    @app.get("/api/system/live", summary="How everything is, as server-sent events")
    async def live() -> StreamingResponse:
        return parts.views.answer(_live(app, parts))

    _add_bundles(app, parts)
    _add_letters(app, parts)
    _add_hidden(app, parts)


def _add_bundles(app: FastAPI, parts: SystemParts) -> None:
    def store() -> BundleStore:
        if parts.store is None:
            raise BadRequest("there is no bundle store: RANKGR_BUNDLE_STORE names none")
        return parts.store

    @app.get("/api/bundles", summary="Published bundles")
    async def bundles() -> dict[str, object]:
        return shown.bundles(None if parts.store is None else await asyncio.to_thread(bundles_now, parts.store))

    @app.post("/api/bundles/promote", summary="Let a version of the store be served")
    async def promote(body: PromoteBody, request: Request) -> dict[str, object]:
        by = _by(request)
        move = PromoteStored(store(), parts.clock, by)
        moved = await asyncio.to_thread(move, body.version, Channel(body.channel))
        log.warning("bundle promoted by hand", extra={"bundle": body.version, "channel": body.channel, "by": by})
        return {"version": body.version, "moved": moved}

    @app.post("/api/bundles/rollback", summary="Back to the version before, or without a canary")
    async def rollback(body: RollbackBody, request: Request) -> dict[str, object]:
        by = _by(request)
        back = RollBack(store(), parts.clock, by)
        done = await asyncio.to_thread(back.withdraw) if body.withdraw else await asyncio.to_thread(back, body.to)
        log.warning("bundle rolled back by hand", extra={"bundle": done.to, "channel": done.channel.value, "by": by})
        return {"channel": done.channel.value, "was": done.was, "version": done.to}


def _add_letters(app: FastAPI, parts: SystemParts) -> None:
    @app.get("/api/dead-letters", summary="The newest dead letters")
    async def dead_letters() -> dict[str, object]:
        return shown.letters(_letters_in(await patiently(lambda: parts.stream.dead_letters(LETTERS_SHOWN))))

    @app.post("/api/dead-letters/replay", summary="Send dead letters back, each once")
    async def replay_letters(body: ReplayBody, request: Request) -> dict[str, object]:
        done = await replay(parts.stream, parts.new_member(), body.most)
        log.warning("dead letters replayed by hand", extra={"replayed": done.replayed, "by": _by(request)})
        return {"replayed": done.replayed, "passed_over": done.passed_over}


def _add_hidden(app: FastAPI, parts: SystemParts) -> None:
    @app.get("/api/hidden", summary="Hidden items")
    async def hidden() -> dict[str, object]:
        since = sorted((await parts.hidden.read()).since.items(), key=lambda one: (-one[1], one[0]))
        rows = [{**shown.item(item, parts.words), "since": when} for item, when in since[:HIDDEN_SHOWN]]
        return {"hidden": len(since), "items": rows}

    @app.post("/api/hidden/change", summary="Hide items at once, or show them again")
    async def change(body: HiddenBody, request: Request) -> dict[str, object]:
        count = await parts.hidden.change(dict.fromkeys(body.hide, 0), body.show)
        log.warning(
            "hidden items changed by hand",
            extra={"hidden": len(body.hide), "shown": len(body.show), "by": _by(request)},
        )
        return {"hidden": count}


async def _live(app: FastAPI, parts: SystemParts) -> Events:
    until_s = parts.clock.monotonic_s() + parts.view_s
    while parts.clock.monotonic_s() < until_s and not _ending(app):
        yield "system", shown.system(await parts.look())
        for _ in range(round(LOOK_EVERY_S / STEP_S)):
            if not _ending(app):
                await asyncio.sleep(STEP_S)
    # A page that is still open asks again.
    yield "end", {}


def _ending(app: FastAPI) -> bool:
    return bool(getattr(app.state, "draining", False))


def _by(request: Request) -> str:
    caller: str = request.scope.get(CALLER, "")
    return f"console:{caller}" if caller else "console"


def _letters_in(payloads: list[bytes]) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    for payload in payloads:
        try:
            letters.append(DeadLetter.model_validate_json(payload))
        except ValidationError:
            # Somebody else's message on our topic.
            continue
    return letters
