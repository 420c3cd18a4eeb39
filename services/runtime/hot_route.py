"""Routes in front of FastAPI: raw ASGI, for the calls that stand in the path of every page view.

A process gives `create_app` its hot routes.  FastAPI's layers cost more than such a call's own work; what they do for
every other route (keys, error bodies, counting) is done here in a few lines.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from contracts.errors import RankGRError
from services.runtime.gate import CALLER, Door
from services.runtime.http_errors import ErrorAnswer, answer_of, broken_answer, invalid_answer
from services.runtime.http_metrics import HttpTallies
from services.runtime.whole_answer import whole_of

_log = logging.getLogger(__name__)

RawHeaders = list[tuple[bytes, bytes]]


class HotAnswer(msgspec.Struct, frozen=True, gc=False):
    """What goes back, as it goes over the wire; without a content-length, which is added."""

    status: int
    headers: RawHeaders
    body: bytes

    @classmethod
    def of(cls, answer: ErrorAnswer) -> HotAnswer:
        """An error body."""
        raw = [(name, value) for name, value in answer.raw_headers if name != b"content-length"]
        return cls(answer.status_code, raw, bytes(answer.body))


class LeftToFastAPI(Exception):
    """Raised by a hot route that is not sure of a request: FastAPI answers it, and reads again what was `read`."""

    def __init__(self, read: Sequence[Message] = ()) -> None:
        super().__init__("left to FastAPI")
        self._read = deque(read)

    def again(self, receive: Receive) -> Receive:
        """What was read, then what follows."""

        async def received() -> Message:
            return self._read.popleft() if self._read else await receive()

        return received


@dataclass(frozen=True, slots=True)
class HotRoute:
    """`method` on paths that begin with `prefix`, or are `prefix` where `exact`; counted under `template`.

    `answer` mostly answers with `status`.  It may raise LeftToFastAPI where FastAPI has a route for the same path.
    """

    method: str
    prefix: str
    template: str
    answer: Callable[[AsgiScope, Receive], Awaitable[HotAnswer]]
    exact: bool = False
    status: int = 200
    path_of: Callable[[AsgiScope], bool] = lambda _scope: True
    """A last word on whether a path that begins right is meant."""

    def takes(self, scope: AsgiScope) -> bool:
        """Whether this request is this route's."""
        path: str = scope["path"]
        if scope["method"] != self.method or not path.startswith(self.prefix):
            return False
        return path == self.prefix if self.exact else self.path_of(scope)


class FrontedApp(FastAPI):
    """FastAPI behind hot routes."""

    def front(self, routes: Sequence[HotRoute], tallies: HttpTallies, door: Door | None) -> None:
        """Put these routes in front; call it once, before the app serves."""
        self._hot = [_Hot(route, tallies, door) for route in routes]

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """A hot route's request goes there, everything else through FastAPI."""
        if scope["type"] == "http":
            for hot in self._hot:
                if hot.route.takes(scope):
                    try:
                        await hot(scope, receive, send)
                    except LeftToFastAPI as left:
                        receive = left.again(receive)
                        break
                    return
        await super().__call__(scope, receive, send)

    _hot: Sequence[_Hot] = ()


class _Hot:
    """One hot route with its door and its counters."""

    def __init__(self, route: HotRoute, tallies: HttpTallies, door: Door | None) -> None:
        self.route = route
        # An open door is not asked.
        self._door = door if door is not None and door.access.keys is not None else None
        self._tallies = tallies
        self._ok = tallies.requests.labels(route.method, route.template, str(route.status))
        self._seconds = tallies.seconds.labels(route.method, route.template)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        try:
            if self._door is not None:
                wanted = self._door.paths.get(scope["path"], self._door.scopes)
                scope[CALLER] = self._door.access.admit(scope["headers"], wanted)
            answer = await self.route.answer(scope, receive)
        except LeftToFastAPI:
            raise
        except RankGRError as error:
            answer = HotAnswer.of(answer_of(error))
        except RequestValidationError as error:
            answer = HotAnswer.of(invalid_answer(error))
        except Exception:  # noqa: BLE001 - a bug must cost one request only, and say so in the log
            _log.exception("a request failed unexpectedly", extra={"route": self.route.template})
            answer = HotAnswer.of(broken_answer())
        await _send(answer, scope, send)
        if answer.status == self.route.status:
            self._ok.value += 1
        else:
            self._tallies.requests.labels(self.route.method, self.route.template, str(answer.status)).add()
        self._seconds.note(perf_counter() - began)


async def _send(answer: HotAnswer, scope: AsgiScope, send: Send) -> None:
    """In one call where the server offers it, in ASGI's two messages elsewhere."""
    body, headers = answer.body, answer.headers
    if answer.status != 304:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    whole = whole_of(scope)
    if whole is None or not whole(answer.status, headers, body):
        start: dict[str, Any] = {"type": "http.response.start", "status": answer.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})
