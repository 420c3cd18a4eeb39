"""Requests of bounded size: counts the bytes of a body, declared or not, and answers 413 above the bound.

`create_app` puts it around every app; it never buffers.
"""

from __future__ import annotations

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.runtime.http_errors import error_answer


class BodyTooLarge(HTTPException):
    """More bytes than the process takes; raised where the app reads its body, answered as 413."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"the body is larger than {most} bytes")


class BodyLimit:
    """ASGI middleware: at most `most` bytes of body per request."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless it says that it is too large, or turns out to be."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._refuse_declared(scope)
            await self._app(scope, self._counting(receive), send)
        except BodyTooLarge as error:
            await error_answer(413, "BodyTooLarge", error.detail)(scope, receive, send)

    def _refuse_declared(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._most:
                raise BodyTooLarge(self._most)

    def _counting(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self._most:
                    raise BodyTooLarge(self._most)
            return message

        return counted
