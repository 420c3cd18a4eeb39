"""The HTTP face that every process shares: health, readiness, metrics, error bodies, body limit.

Each process's api.py calls `create_app` and adds its routes.  Never knows a route of a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import JSONResponse, Response

from contracts.errors import RankGRError
from services.runtime.body_limit import BodyLimit
from services.runtime.gate import Door, Gate
from services.runtime.hot_route import FrontedApp, HotRoute
from services.runtime.http_errors import ERROR_RESPONSES, error_answer, speak_errors
from services.runtime.http_metrics import HttpMetrics, HttpTallies

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

MAX_BODY_BYTES = 1024 * 1024
# Longer than any adapter's own timeouts, shorter than an orchestrator's probe.
READY_WITHIN_S = 0.9


def create_app(  # noqa: PLR0913 - each is a decision of the process
    title: str,
    *,
    ready: Callable[[], Awaitable[None]],
    metrics: CollectorRegistry,
    door: Door | None = None,
    lifespan: Lifespan | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    hot: Sequence[HotRoute] = (),
) -> FastAPI:
    """An app with /healthz, /readyz and /metrics; `ready` returns, or raises what stands in the way.

    Every error is answered as {"error", "detail"}; a body above `max_body_bytes` gets 413.
    Without a `door` anybody may ask.  `hot` routes stand in front of all this and read their bodies themselves.
    """
    app = FrontedApp(
        title=title,
        version=version("rankgr"),
        lifespan=lifespan,
        responses=ERROR_RESPONSES,
        redoc_url=None,
        # A redirect would carry the host header back; a path with one slash too many is another path.
        redirect_slashes=False,
    )
    speak_errors(app)
    app.add_middleware(BodyLimit, most=max_body_bytes)
    if door is not None:
        app.add_middleware(Gate, door=door)
    tallies = HttpTallies(metrics)
    app.add_middleware(HttpMetrics, tallies=tallies)
    app.front(hot, tallies, door)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        if getattr(app.state, "draining", False):
            return error_answer(503, "Unavailable", "this process is about to end: go to another")
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await ready()
        except RankGRError as error:
            return error_answer(503, type(error).__name__, str(error))
        except TimeoutError:
            return error_answer(503, "Unavailable", f"not known to be ready within {READY_WITHIN_S} s")
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", include_in_schema=False)
    async def exposition() -> Response:
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return app
