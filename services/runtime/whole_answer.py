"""An ASGI extension of our own server: an answer that is whole goes out in one call and one write.

`bounded_protocol` offers it, `hot_route` takes it where it is offered.  ASGI's two messages cost more than a small
answer's own work: each passes through a coroutine, and every header through two regular expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

EXTENSION = "rankgr.whole_answer"
CALL = "call"
"""`scope["extensions"][EXTENSION][CALL]` is a `Whole`."""

_NONE: Mapping[str, Any] = {}

Headers = Sequence[tuple[bytes, bytes]]
Whole = Callable[[int, Headers, bytes], bool]
"""(status, headers with lower-case names and the content-length, body) -> whether it was taken: if not, `send` it."""


def whole_of(scope: Scope) -> Whole | None:
    """What the server of this request offers."""
    found: Whole | None = scope.get("extensions", _NONE).get(EXTENSION, _NONE).get(CALL)
    return found


class QuickCycle(RequestResponseCycle):
    """uvicorn's cycle of one request and its response, with a short way through it."""

    def whole(self, status: int, headers: Headers, body: bytes) -> bool:
        """A `Whole`.  Whatever is out of the ordinary is left to uvicorn: a slow reader, a last answer, one begun."""
        if not self.keep_alive or self.response_started or self.disconnected or self.flow.write_paused:
            return False
        parts = [STATUS_LINE[status]]
        for name, value in self.default_headers:
            if name == b"connection":
                return False
            parts += (name, b": ", value, b"\r\n")
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n")
        head = b"".join(parts)
        # The status, each header and the end have a line each: a line break inside a value would show as one more.
        if head.count(b"\n") != len(self.default_headers) + len(headers) + 2:
            raise RuntimeError("a header holds a line break")
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = self.chunked_encoding = False
        self.transport.write(head + body)
        self.message_event.set()
        self.on_response()
        return True
