"""Live views: how many may be open, and what they look like on the wire (server-sent events)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from contracts.errors import Overloaded

SSE_TYPE = "text/event-stream"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

Events = AsyncGenerator[tuple[str, object], None]
"""Names, and what becomes JSON."""


@dataclass(slots=True)
class Views:
    """At most so many at once: each costs a connection, and questions to the others."""

    most: int
    open: int = field(default=0, init=False)

    def answer(self, events: Events) -> StreamingResponse:
        """The events as an answer.  Raises Overloaded where too many are open."""
        if self.open >= self.most:
            raise Overloaded(f"{self.most} live views are open already: close one, or raise RANKGR_CONSOLE_VIEWS")
        self.open += 1
        return _View(_lines(events), self)

    def left(self) -> None:
        """One view less."""
        self.open -= 1


class _View(StreamingResponse):
    """Gives its place back whatever ends it, a visitor who leaves before the first event included."""

    def __init__(self, lines: AsyncIterator[bytes], views: Views) -> None:
        super().__init__(lines, media_type=SSE_TYPE, headers=_HEADERS)
        self._views = views

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._views.left()


async def _lines(events: Events) -> AsyncIterator[bytes]:
    async with aclosing(events) as told:
        async for name, content in told:
            data = json.dumps(content, separators=(",", ":"))
            yield f"event: {name}\ndata: {data}\n\n".encode()
