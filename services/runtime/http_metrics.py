"""Request counts and durations per route; `create_app` puts it around every app."""

from __future__ import annotations

from time import perf_counter

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.runtime.telemetry import counter, histogram

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpMetrics:
    """ASGI middleware.  A route is counted under its template, so that user ids never become labels."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = counter(
            registry, "rankgr_http_requests", "HTTP requests answered.", ("method", "route", "status")
        )
        self._seconds = histogram(
            registry, "rankgr_http_request_seconds", "Time to answer an HTTP request.", ("method", "route")
        )

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
            self._requests.labels(method, route, str(status)).inc()
            self._seconds.labels(method, route).observe(perf_counter() - began)
