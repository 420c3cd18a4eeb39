"""The routes of the page *Request*: trigger, life, history, interactions.  `api` adds them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Query
from starlette.responses import StreamingResponse

from contracts.ids import UserId
from services.console import shown
from services.console.bodies import InteractionBody, LifeQuery, TriggerBody, UserQuery
from services.console.examples import Example
from services.console.follow_request import Followed, FollowRequest
from services.console.views import Events, Views
from services.console.words import Words
from services.gateways.history.port import HistoryStore, PastInteraction
from services.gateways.own_processes.port import Happened, TriggerProcess
from services.runtime.clock import Clock

HISTORY_SHOWN = 40

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestParts:
    """What these routes stand on."""

    trigger: TriggerProcess
    histories: HistoryStore
    follow: FollowRequest
    words: Words
    examples: Mapping[UserId, Example]
    views: Views
    clock: Clock
    asks_for_key: bool


def add_request_routes(app: FastAPI, parts: RequestParts) -> None:
    """`/api/door`, `/api/session`, `/api/history`, `/api/triggers`, `/api/life`, `/api/interactions`."""

    @app.get("/api/door", summary="Whether a key is needed")
    async def door() -> dict[str, object]:
        return {"keys": parts.asks_for_key}

    @app.get("/api/session", summary="What the page needs to begin")
    async def session() -> dict[str, object]:
        side = parts.words.side
        return {
            "window_ms": parts.follow.window_ms,
            "scenes": parts.words.scenes,
            "examples": list(parts.examples),
            "model_version": side and side.manifest.model_version,
            "catalog_version": side and side.manifest.catalog_version,
            "no_catalog": parts.words.why or None,
        }

    @app.get("/api/history", summary="What a user did lately, with titles")
    async def history(query: Annotated[UserQuery, Query()]) -> dict[str, object]:
        past = await parts.histories.recent(query.user_id)
        return shown.history(_with_example(past, parts.examples.get(query.user_id)), HISTORY_SHOWN, parts.words)

    @app.post("/api/triggers", status_code=202, summary="Begin a request")
    async def trigger(body: TriggerBody) -> dict[str, object]:
        example = parts.examples.get(body.user_id)
        recent = (*(example.recent if example else ()), *(one.told() for one in body.recent))
        accepted = await parts.trigger.trigger(body.user_id, body.scene, recent)
        log.info("triggered", extra={"user_id": body.user_id, "request_id": accepted.request_id})
        return {"request_id": accepted.request_id, "accepted_at": accepted.accepted_at}

    @app.get("/api/life", summary="What happens to a request, as server-sent events")
    async def life(query: Annotated[LifeQuery, Query()]) -> StreamingResponse:
        asked = Followed(query.user_id, query.request_id, query.accepted_at, query.scene, query.limit)
        return parts.views.answer(_life(asked, parts))

    @app.post("/api/interactions", status_code=202, summary="The user clicks, or buys")
    async def interactions(body: InteractionBody) -> dict[str, object]:
        now_ms = parts.clock.now_ms()
        happened = Happened(body.item_id, body.behavior, now_ms, body.request_id, body.position)
        await parts.trigger.tell(body.user_id, [happened])
        return {"timestamp": now_ms}


async def _life(asked: Followed, parts: RequestParts) -> Events:
    async for one in parts.follow(asked):
        yield shown.told(one, parts.words)
    yield "end", {}


def _with_example(past: list[PastInteraction], example: Example | None) -> list[PastInteraction]:
    """What is stored, and what the next trigger will tell of an example; once each, oldest first."""
    told = [PastInteraction(one.item_id, one.behavior, one.timestamp) for one in example.recent] if example else []
    return sorted({*past, *told}, key=lambda one: (one.timestamp, one.item_id, one.behavior))
