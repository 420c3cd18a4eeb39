"""The retrieval service over HTTP: one hot route, `GET /retrieve/{user_id}`.  Built by `main`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from contracts.errors import CursorGone
from services.retrieval.answer import json_of
from services.retrieval.metrics import RetrievalMetrics
from services.retrieval.query import read_query, read_user_id
from services.retrieval.readiness import StoreAnsweredOnce
from services.retrieval.retrieve_route import PREFIX, SEGMENT, RetrieveRoute
from services.retrieval.serve_candidates import ServeCandidates
from services.runtime.clock import Clock
from services.runtime.gate import Door
from services.runtime.http import Lifespan, create_app
from services.runtime.http_errors import ErrorAnswer, status_of


@dataclass(frozen=True, slots=True)
class RetrieveAnswers:
    """The ASGI app behind the route: parse, serve, write."""

    serve: ServeCandidates
    clock: Clock
    max_age_s: float
    metrics: RetrievalMetrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is wrong with it is raised for the app's error handlers."""
        began_s = self.clock.monotonic_s()
        segment: bytes = scope["path_params"][SEGMENT]
        raw_query: bytes = scope["query_string"]
        user = read_user_id(segment)
        asked = read_query(raw_query).asked(user, self.max_age_s)
        try:
            outcome = await self.serve(asked)
        except CursorGone as error:
            self.metrics.note_gone()
            await _gone(error, segment, raw_query)(scope, receive, send)
            return
        self.metrics.note(outcome, self.clock.monotonic_s() - began_s)
        body = json_of(user, outcome)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _gone(error: CursorGone, segment: bytes, raw_query: bytes) -> ErrorAnswer:
    """410 with the first page's URL; the query was read before, so it parses."""
    kept = [(name, value) for name, value in parse_qsl(raw_query.decode(), keep_blank_values=True) if name != "cursor"]
    restart = (PREFIX + segment).decode("latin-1") + (f"?{urlencode(kept)}" if kept else "")
    body = {"error": type(error).__name__, "detail": str(error), "restart": restart}
    return ErrorAnswer(body, status_of(error))


def create_api(  # noqa: PLR0913 - each is built by main alone
    serve: ServeCandidates,
    *,
    clock: Clock,
    max_age_s: float,
    store_ping: Callable[[], Awaitable[None]],
    registry: CollectorRegistry,
    door: Door | None = None,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """The app.  `store_ping` raises StoreDown while the store cannot be used; `max_age_s` is the default age."""
    metrics = RetrievalMetrics(registry)
    ready = StoreAnsweredOnce(store_ping, metrics)
    app = create_app("RankGR retrieval", ready=ready, metrics=registry, door=door, lifespan=lifespan)
    answers = RetrieveAnswers(serve, clock, max_age_s, metrics)
    app.router.routes.append(RetrieveRoute(answers))
    return app
