"""HTTP connections: not slow to ask or to read, not endless in their headers, and not too many; `lifecycle` uses it.

Two things are quicker than uvicorn's own: answers may go out whole (`whole_answer`), and a connection that is kept has
one timer, not one per request.

uvicorn waits for a request's end as long as its client likes, and keeps any number of header bytes: a few hundred
connections that trickle would otherwise hold a process's memory and descriptors for good.
"""

from __future__ import annotations

import asyncio
import json
import resource
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.runtime.whole_answer import CALL, EXTENSION, QuickCycle

# A megabyte in ten seconds is slower than any line that a shop's backend has.
REQUEST_WITHIN_S = 10.0
MOST_HEADER_BYTES = 64 * 1024
# An answer that is not taken by then keeps memory and a descriptor for nothing.
READ_WITHIN_S = 30.0
# Idle ones take about ten kilobytes each.
MOST_CONNECTIONS = 4096
# Descriptors that a process needs besides: stores, streams, logs, its port.
OTHER_DESCRIPTORS = 128


def connections_allowed() -> int:
    """`MOST_CONNECTIONS`, or fewer where the process may not open as many descriptors."""
    descriptors, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, descriptors - OTHER_DESCRIPTORS))


def _refusal(status: str, error: str, detail: str) -> bytes:
    """A whole answer of the common shape for what never becomes a request; the connection ends with it."""
    body = json.dumps({"error": error, "detail": detail}).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close"
    return head.encode() + b"\r\n\r\n" + body


_NOT_HTTP = _refusal("400 Bad Request", "BadRequest", "this is no HTTP/1.1 request")
_TOO_LONG = _refusal(
    "431 Request Header Fields Too Large", "HeadersTooLarge", f"the headers are larger than {MOST_HEADER_BYTES} bytes"
)
_TOO_MANY = _refusal("503 Service Unavailable", "Overloaded", "too many connections; use those that are open")


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request, first byte to last, takes longer than this, or whose headers are larger.

    One more than `most_connections` are open is told so and closed at once.

    A timer runs only while a request is incomplete after a read: ordinary requests come in one piece and set none.
    """

    request_within_s = REQUEST_WITHIN_S
    read_within_s = READ_WITHIN_S
    most_connections = connections_allowed()

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **named)
        self._in_message = True
        self._in_headers = True
        self._header_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since_s: float | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request has to come, too."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(_TOO_MANY)
            return
        self._timer = self.loop.call_later(self.request_within_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_timer()
        self._stop_unread()
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def data_received(self, data: bytes) -> None:
        """Read it, then see whether something is still to come."""
        if len(data) > MOST_HEADER_BYTES and self._has_long_headers(data):
            self._refuse(_TOO_LONG)
            return
        super().data_received(data)
        if not self._in_message:
            self._stop_timer()
            return
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES:
                self._refuse(_TOO_LONG)
                return
        if self._timer is None:
            self._timer = self.loop.call_later(self.request_within_s, self._give_up)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's name
        """Called where the parser cannot go on."""
        self._refuse(_NOT_HTTP)

    def pause_writing(self) -> None:
        """Called by the transport: the client reads more slowly than it is answered."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """Called by the transport: it has read on."""
        self._stop_unread()
        super().resume_writing()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._in_message = self._in_headers = True
        self._header_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by the parser: begin the request, or queue it behind the one before it on this connection.

        What uvicorn's own does, less what is never set here: web sockets, a root path, a limit of its own.
        """
        self._in_headers = False
        scope, parser = self.scope, self.parser
        version = parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["http_version"] = version
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        before = self.cycle
        self.cycle = cycle = QuickCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope["extensions"] = {EXTENSION: {CALL: cycle.whole}}
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Called by the cycle: the next request may begin, or the connection is idle from now on."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._wait_for_reader()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._look_idle)

    def _look_idle(self) -> None:
        """Close what has been idle for long enough; the timer runs on beside requests and is not set anew for each."""
        self.timeout_keep_alive_task = None
        if self._idle_since_s is None or self.transport.is_closing():
            return
        left_s = self._idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left_s, self._look_idle)
        else:
            self._close()

    def _unset_keepalive_if_required(self) -> None:
        # uvicorn calls it when something comes.
        self._idle_since_s = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _has_long_headers(self, data: bytes) -> bool:
        """Whether one read, larger than headers may be, holds too much of them: most often it is a body."""
        if self._in_message and not self._in_headers:
            return False
        end = data.find(b"\r\n\r\n")
        return end < 0 or end > MOST_HEADER_BYTES

    def _refuse(self, answer: bytes) -> None:
        """Say why, unless that would stand in the middle of another answer, and close."""
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(answer)
        self._give_up()

    def _give_up(self) -> None:
        self._stop_timer()
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self._wait_for_reader()

    def _wait_for_reader(self) -> None:
        """What was written is kept for a while, and no longer."""
        if self._unread is None and self.transport.get_write_buffer_size() > 0:
            self._unread = self.loop.call_later(self.read_within_s, self.transport.abort)

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
