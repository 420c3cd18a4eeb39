"""Keeps other sites' pages away, and tells the browser what ours may do; `api` puts it around the app.

A page of another site could otherwise ask a console on loopback through its visitor's browser: by itself (Origin), or
under a name of its own that it lets point here (Host).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.runtime.http_errors import error_answer

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Neighbours:
    """ASGI middleware: 403 for another site's requests.  `loopback_only`: the console listens there, without keys."""

    def __init__(self, app: ASGIApp, loopback_only: bool) -> None:
        self._app = app
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass our own on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if (why := self._foreign(scope)) is not None:
            await error_answer(403, "Forbidden", why)(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    def _foreign(self, scope: Scope) -> str | None:
        sent = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")}
        host, origin = sent.get(b"host", ""), sent.get(b"origin")
        if origin is not None and _netloc(origin) != host:
            return "this request comes from another site's page"
        if self._loopback_only and _name(host) not in LOOPBACK_NAMES:
            return "without API keys the console answers to localhost and 127.0.0.1 alone"
        return None


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
