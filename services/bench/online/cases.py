"""The cases: which server, which requests, and what is measured of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from services.bench.online.shape import REQUEST, Shape

RETRIEVE = ("-m", "services.cli", "serve", "retrieval")
TRIGGER = ("-m", "services.cli", "serve", "trigger")
PACKED = "application/vnd.rankgr.packed"


@dataclass(frozen=True, slots=True)
class Case:
    """`words` start the server; PORT, REDIS and so on are filled in.  `rates`: fixed ones are run too.

    `paced_as`: the rates are shares of another case's saturation, where that was measured in the same run.
    """

    name: str
    words: tuple[str, ...]
    requests: Callable[[Shape], Sequence[str]]
    told: Mapping[str, str] = field(default_factory=dict)
    ready: str = "/readyz"
    rates: bool = True
    paced_as: str = ""
    kafka: bool = False


def _get(path: str, accept: str = "application/json") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: {accept}\r\n\r\n"


def _pages(query: str, accept: str = "application/json") -> Callable[[Shape], Sequence[str]]:
    return lambda shape: [_get(f"/retrieve/{user}?{query}", accept) for user in range(shape.users)]


def _triggers(shape: Shape) -> Sequence[str]:
    """No request id: each is a request of its own."""
    requests = []
    for user in range(shape.users):
        recent = [{"item_id": 7 + user, "behavior": "click", "timestamp": 1_763_769_600_000 + user}]
        body = json.dumps({"user_id": str(user), "scene": "home", "recent": recent}, separators=(",", ":"))
        head = "POST /trigger HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n{body}")
    return requests


def _empty(_shape: Shape) -> Sequence[str]:
    return [_get("/")]


_RETRIEVAL = {"RANKGR_RETRIEVAL_PORT": "PORT", "RANKGR_REDIS_URL": "REDIS", "RANKGR_BUNDLE": "BUNDLE"}
_TRIGGER = {"RANKGR_TRIGGER_PORT": "PORT", "RANKGR_REDIS_URL": "REDIS", "RANKGR_STREAM_REDIS_URL": "STREAM"}
# A few users stand for very many: none of them is held back.
_TRIGGER["RANKGR_TRIGGER_USER_PER_S"] = "0"
_EMPTY = ("-m", "services.bench.online.empty_route", "PORT")
_PLAIN = ("-m", "services.bench.online.plain", "PORT", "REDIS")

CASES: tuple[Case, ...] = (
    Case("empty_route", _EMPTY, _empty, ready="/", rates=False),
    Case("retrieve_page50", RETRIEVE, _pages(f"limit=50&request_id={REQUEST}"), _RETRIEVAL),
    # What generator and machine take by themselves at the rates of the pages: no page's p99 can be lower.
    Case("empty_at_page50", _EMPTY, _empty, ready="/", paced_as="retrieve_page50"),
    Case("retrieve_full", RETRIEVE, _pages(f"limit=1400&request_id={REQUEST}", PACKED), _RETRIEVAL),
    Case("retrieve_full_json", RETRIEVE, _pages(f"limit=1400&request_id={REQUEST}"), _RETRIEVAL),
    Case("plain_page50", _PLAIN, _pages("limit=50"), ready="/retrieve/0"),
    Case("plain_full", _PLAIN, _pages("limit=1400"), ready="/retrieve/0"),
    Case("trigger_streams", TRIGGER, _triggers, _TRIGGER),
    Case("trigger_kafka", TRIGGER, _triggers, {**_TRIGGER, "RANKGR_KAFKA_BOOTSTRAP": "KAFKA"}, kafka=True),
)
STORE_CASE = "redis_get"
NAMES = (*(case.name for case in CASES), STORE_CASE)
OVERLOADED = "retrieve_full_json"
