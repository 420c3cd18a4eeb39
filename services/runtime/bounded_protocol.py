"""HTTP connections that may be neither slow to ask nor endless in their headers; `lifecycle` gives it to uvicorn.

uvicorn waits for a request's end as long as its client likes, and keeps any number of header bytes: a few hundred
connections that trickle would otherwise hold a process's memory and descriptors for good.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request has to come, too."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.request_within_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_timer()
        super().connection_lost(exc)

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
        """Called by the parser."""
        self._in_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._in_message = False
        super().on_message_complete()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._stop_timer()
        self.transport.close()
