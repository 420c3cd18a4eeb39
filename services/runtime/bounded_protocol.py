"""HTTP connections that may be neither slow to ask nor endless in their headers; `lifecycle` gives it to uvicorn.

Two things are quicker than uvicorn's own: answers may go out whole (`whole_answer`), and a connection that is kept has
one timer, not one per request.

uvicorn waits for a request's end as long as its client likes, and keeps any number of header bytes: a few hundred
connections that trickle would otherwise hold a process's memory and descriptors for good.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.runtime.whole_answer import CALL, EXTENSION, QuickCycle

# A megabyte in ten seconds is slower than any line that a shop's backend has.
REQUEST_WITHIN_S = 10.0
MOST_HEADER_BYTES = 64 * 1024


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request, first byte to last, takes longer than this, or whose headers are larger.

    A timer runs only while a request is incomplete after a read: ordinary requests come in one piece and set none.
    """

    request_within_s = REQUEST_WITHIN_S

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **named)
        self._in_message = True
        self._in_headers = True
        self._header_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since_s: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request has to come, too."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.request_within_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_timer()
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def data_received(self, data: bytes) -> None:
        """Read it, then see whether something is still to come."""
        super().data_received(data)
        if not self._in_message:
            self._stop_timer()
            return
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES:
                self._give_up()
                return
        if self._timer is None:
            self._timer = self.loop.call_later(self.request_within_s, self._give_up)

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
            self.transport.close()

    def _unset_keepalive_if_required(self) -> None:
        # uvicorn calls it when something comes.
        self._idle_since_s = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._stop_timer()
        self.transport.close()
