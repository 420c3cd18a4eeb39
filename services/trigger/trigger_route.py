"""`POST /trigger` the fast way: a hot route for bodies that are surely right; whatever else comes goes FastAPI's way.

So there is one validation, FastAPI's, and a shortcut past it: a request that this file takes is taken there too, with
the same values (tests/services/trigger/test_trigger_route.py holds the two against each other).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from starlette.types import Receive
from starlette.types import Scope as AsgiScope

from services.runtime.hot_route import HotAnswer, LeftToFastAPI, RawHeaders
from services.trigger.accept_trigger import TriggerAccepted
from services.trigger.asked import TriggerAsked

PATH = "/trigger"
STATUS = 202

# Beyond these, Python's JSON reader may refuse what the fast one skips over: nesting, and endless numbers.
_MOST_OBJECTS = 256
_MOST_LISTS = 64
_LONGEST_NUMBER = 4300
_ENDLESS = re.compile(rb"[0-9]{%d}" % _LONGEST_NUMBER)

_JSON = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
_HEADERS: RawHeaders = [(b"content-type", b"application/json")]

_decode = msgspec.json.Decoder(TriggerAsked).decode
_write = msgspec.json.Encoder().encode


class _Answer(msgspec.Struct, frozen=True, gc=False):
    """What services/trigger/bodies.py calls TriggerAnswer."""

    event_id: str
    request_id: str
    user_id: str
    accepted_at: int


@dataclass(frozen=True, slots=True)
class TriggerAnswers:
    """The hot route.  `take` accepts a trigger of the caller with this key."""

    take: Callable[[TriggerAsked, str, str | None], Awaitable[TriggerAccepted]]
    caller_of: Callable[[AsgiScope], str]
    max_body_bytes: int

    async def __call__(self, scope: AsgiScope, receive: Receive) -> HotAnswer:
        """202 with the event, or LeftToFastAPI."""
        message = await receive()
        body: bytes = message.get("body", b"")
        asked = None
        whole = message["type"] == "http.request" and not message.get("more_body")
        if whole and len(body) <= self.max_body_bytes and _says_json(scope["headers"]):
            asked = surely(body)
        if asked is None:
            raise LeftToFastAPI([message])
        accepted = await self.take(asked, self.caller_of(scope), _traceparent(scope["headers"]))
        answer = _Answer(accepted.event_id, accepted.request_id, accepted.user_id, accepted.accepted_at)
        return HotAnswer(STATUS, _HEADERS, _write(answer))


def surely(body: bytes) -> TriggerAsked | None:
    """The trigger in a body that FastAPI's way would take as well; None where this cannot be said quickly."""
    try:
        asked = _decode(body)
        if not body.isascii():
            # The decoder does not look into what it skips.
            body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if "\0" in asked.user_id or (asked.request_id is not None and "\0" in asked.request_id):
        return None
    if body.count(b"{") > _MOST_OBJECTS or body.count(b"[") > _MOST_LISTS:
        return None
    if len(body) >= _LONGEST_NUMBER and _ENDLESS.search(body):
        return None
    return asked


def _traceparent(headers: RawHeaders) -> str | None:
    for name, value in headers:
        if name == b"traceparent":
            return value.decode("latin-1")
    return None


def _says_json(headers: RawHeaders) -> bool:
    for name, value in headers:
        if name == b"content-type":
            return value in _JSON
    return False
