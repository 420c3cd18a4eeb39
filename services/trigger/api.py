"""The trigger service over HTTP: the hot route `POST /trigger`, and `POST /interactions`.  Built by `main`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry
from starlette.types import Scope as AsgiScope

from services.runtime.gate import CALLER, Door
from services.runtime.hot_route import HotRoute
from services.runtime.http import MAX_BODY_BYTES, Lifespan, create_app
from services.runtime.rate_limit import RateLimit
from services.runtime.tracing import HEADER
from services.trigger.accept_interactions import AcceptInteractions
from services.trigger.bodies import InteractionsAnswer, InteractionsBody, TriggerAnswer, TriggerBody
from services.trigger.take_trigger import TakeTrigger
from services.trigger.trigger_route import PATH, STATUS, TriggerAnswers


def create_api(  # noqa: PLR0913 - each is built by main alone
    take_trigger: TakeTrigger,
    accept_interactions: AcceptInteractions,
    *,
    ready: Callable[[], Awaitable[None]],
    registry: CollectorRegistry,
    door: Door | None = None,
    lifespan: Lifespan | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> FastAPI:
    """The app.  `ready` raises what stands in the way of accepting triggers."""
    hot = HotRoute("POST", PATH, PATH, TriggerAnswers(take_trigger, _caller, max_body_bytes), exact=True, status=STATUS)
    app = create_app(
        "RankGR trigger",
        ready=ready,
        metrics=registry,
        door=door,
        lifespan=lifespan,
        max_body_bytes=max_body_bytes,
        hot=[hot],
    )
    per_key: RateLimit | None = take_trigger.per_key

    @app.post(PATH, status_code=STATUS, summary="A user's request has begun: compute candidates beside it")
    async def trigger(body: TriggerBody, request: Request) -> TriggerAnswer:
        return TriggerAnswer.of(await take_trigger(body.asked(), _caller(request.scope), request.headers.get(HEADER)))

    @app.post("/interactions", status_code=202, summary="What users did")
    async def interactions(body: InteractionsBody, request: Request) -> InteractionsAnswer:
        if per_key is not None and (caller := _caller(request.scope)):
            per_key.take(caller, take_trigger.clock.monotonic_s())
        accepted = await accept_interactions([event.told() for event in body.events])
        take_trigger.metrics.note_interactions(accepted)
        return InteractionsAnswer(accepted=accepted)

    return app


def _caller(scope: AsgiScope) -> str:
    caller: str = scope.get(CALLER, "")
    return caller
