"""Request counts and durations per route; `create_app` puts it around every app, hot routes count for themselves."""

from __future__ import annotations

from time import perf_counter

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.runtime.tallies import CountTally, SpreadTally

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpTallies:
    """What is counted of every request; one object per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = CountTally(
            registry, "rankgr_http_requests", "HTTP requests answered.", ("method", "route", "status")
        )
        self.seconds = SpreadTally(
            registry, "rankgr_http_request_seconds", "Time to answer an HTTP request.", ("method", "route")
        )


class HttpMetrics:
    """ASGI middleware.  A route is counted under its template, so that user ids never become labels."""

    def __init__(self, app: ASGIApp, tallies: HttpTallies) -> None:
        self._app = app
        self._tallies = tallies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how it went; one that broke counts as status 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        began = perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self._tallies.requests.labels(method, route, str(status)).add()
            self._tallies.seconds.labels(method, route).note(perf_counter() - began)
