"""The trigger service over HTTP: `POST /trigger` and `POST /interactions`. Built by `main`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.runtime.gate import Door
from services.runtime.http import MAX_BODY_BYTES, Lifespan, create_app
from services.trigger.accept_interactions import AcceptInteractions
from services.trigger.accept_trigger import AcceptTrigger
from services.trigger.bodies import InteractionsAnswer, InteractionsBody, TriggerAnswer, TriggerBody
from services.trigger.metrics import TriggerMetrics


def create_api(  # noqa: PLR0913 - each is built by main alone
    accept_trigger: AcceptTrigger,
    accept_interactions: AcceptInteractions,
    *,
    ready: Callable[[], Awaitable[None]],
    registry: CollectorRegistry,
    door: Door | None = None,
    lifespan: Lifespan | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> FastAPI:
    """The app.  `ready` raises what stands in the way of accepting triggers."""
    app = create_app(
        "RankGR trigger",
        ready=ready,
        metrics=registry,
        door=door,
        lifespan=lifespan,
        max_body_bytes=max_body_bytes,
    )
    metrics = TriggerMetrics(registry)

    @app.post("/trigger", status_code=202, summary="A user's request has begun: compute candidates beside it")
    async def trigger(body: TriggerBody) -> TriggerAnswer:
        accepted = await accept_trigger(body.asked())
        metrics.note_trigger(accepted)
        return TriggerAnswer.of(accepted)

    @app.post("/interactions", status_code=202, summary="What users did")
    async def interactions(body: InteractionsBody) -> InteractionsAnswer:
        accepted = await accept_interactions([event.told() for event in body.events])
        metrics.note_interactions(accepted)
        return InteractionsAnswer(accepted=accepted)

    return app
