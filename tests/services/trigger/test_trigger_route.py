"""The fast way of `POST /trigger` against FastAPI's: whatever it takes, FastAPI takes too, with the same values."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from contracts.behaviors import Behavior
from contracts.messages import MAX_RECENT, Topic, TriggerRequested
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.gateways.trigger_ledger.in_memory import MemoryTriggerLedger
from services.runtime.admission import Admission
from services.runtime.auth import KeyId, Scope
from services.runtime.clock import ManualClock
from services.runtime.event_ids import uuid7_ids
from services.runtime.gate import Door
from services.runtime.key_file import access_by, new_key
from services.runtime.rate_limit import RateLimit
from services.trigger.accept_interactions import AcceptInteractions
from services.trigger.accept_trigger import AcceptTrigger
from services.trigger.api import create_api
from services.trigger.asked import TriggerAsked, event_of
from services.trigger.bodies import TriggerBody
from services.trigger.metrics import TriggerMetrics
from services.trigger.take_trigger import TakeTrigger
from services.trigger.trigger_route import surely

CLICK = {"item_id": 7, "behavior": "click", "timestamp": 1763769600000}

# Near every bound, and on both sides of it.
TEXT = st.text(max_size=5) | st.sampled_from(["x" * 64, "x" * 65, "é" * 128, "é" * 129, "a\0b", "🛒" * 128])
ITEMS = st.integers(-(2**63) - 1, 2**63) | st.sampled_from([7, 7.0, "7", True, None])
TIMES = st.integers(-1, 2**53) | st.sampled_from([0, 1.5, "1", None])
BEHAVIORS = st.sampled_from([*Behavior, "pseudo_exposure", "search", 5])
RECENT = st.fixed_dictionaries(
    {"item_id": ITEMS, "behavior": BEHAVIORS, "timestamp": TIMES}, optional={"extra": st.none() | TEXT}
)
BODIES = st.fixed_dictionaries(
    {"user_id": TEXT | st.integers() | st.none()},
    optional={
        "request_id": TEXT | st.none() | st.integers(),
        "scene": TEXT | st.none() | st.integers(),
        "recent": st.lists(RECENT, max_size=3) | st.none() | st.just({}),
        "context": st.fixed_dictionaries({}, optional={"device": TEXT | st.none() | st.integers(), "x": TEXT})
        | st.none()
        | st.lists(TEXT, max_size=1),
        "campaign": st.recursive(st.none() | st.booleans() | st.floats() | TEXT, lambda x: st.lists(x, max_size=2)),
    },
)


def slowly(body: bytes) -> TriggerAsked | None:
    """What FastAPI's way makes of a body: the standard library's JSON, then the model."""
    try:
        return TriggerBody.model_validate(json.loads(body)).asked()
    except (ValueError, RecursionError):
        return None


@given(BODIES, st.booleans())
@settings(max_examples=600)
def test_what_the_fast_way_takes_the_slow_way_takes_with_the_same_values(content: dict[str, Any], raw: bool) -> None:
    body = json.dumps(content, ensure_ascii=not raw).encode(errors="surrogatepass")
    fast = surely(body)
    if fast is not None:
        assert fast == slowly(body)


@given(BODIES, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3)), max_size=4))
@settings(max_examples=600)
@example({"user_id": "a", "x": "é"}, [(15, 1, b"\xff")])
@example({"user_id": "a", "x": "y"}, [(17, 0, b"\x01")])
def test_nor_does_a_damaged_body_pass_it(content: dict[str, Any], damage: list[tuple[int, int, bytes]]) -> None:
    body = bytearray(json.dumps(content, ensure_ascii=False).encode(errors="surrogatepass"))
    for place, gone, put in damage:
        body[place : place + gone] = put
    fast = surely(bytes(body))
    if fast is not None:
        assert fast == slowly(bytes(body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"user_id": "a", "x": ' + b"9" * 5000 + b"}",
        b'{"user_id": "a", "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"user_id": "a", "x": ' + b'{"y":' * 900 + b"1" + b"}" * 900 + b"}",
        b'{"user_id": "a", "x": ' + b'{"y":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
        b'{"user_id": "a", "x": "\xff"}',
        b'\xef\xbb\xbf{"user_id": "a"}',
        '{"user_id": "a"}'.encode("utf-16"),
        b'{"user_id": "a", "x": NaN}',
    ],
    ids=["endless number", "deep lists", "deep objects", "deeper than Python goes", "no UTF-8", "BOM", "UTF-16", "NaN"],
)
def test_what_the_two_readers_may_differ_about_is_left_to_the_slow_one(body: bytes) -> None:
    assert surely(body) is None


def test_ordinary_bodies_go_the_fast_way() -> None:
    for content in (
        {"user_id": "42"},
        {
            "user_id": "日本/🛒",
            "request_id": "r",
            "scene": "home",
            "recent": [CLICK] * 100,
            "context": {"device": "tv"},
        },
        {"user_id": "42", "campaign": 3, "context": {"device": "mobile", "weather": {"rain": [1, 2]}}},
    ):
        body = json.dumps(content).encode()
        assert surely(body) == slowly(body) is not None


@given(BODIES)
def test_the_event_is_the_one_that_the_contract_describes(content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    asked = slowly(body)
    if asked is None:
        return
    written = event_of(asked, asked.request_id or "r", "e", 5)
    said = TriggerBody.model_validate(json.loads(body))
    event = TriggerRequested(
        event_id="e",
        user_id=said.user_id,
        request_id=said.request_id or "r",
        accepted_at=5,
        scene=said.scene,
        recent=said.recent,
        context=said.context,
    )
    assert TriggerRequested.model_validate_json(written) == event
    assert json.loads(written) == json.loads(event.model_dump_json())


class Service:
    """The trigger service in this process, on memory."""

    def __init__(
        self, door: Door | None = None, *, per_user: RateLimit | None = None, per_key: RateLimit | None = None
    ) -> None:
        self.clock = ManualClock()
        self.stream = MemoryEventStream(self.clock)
        new_event_id, registry = uuid7_ids(self.clock, Random(7)), CollectorRegistry()
        accept = AcceptTrigger(MemoryTriggerLedger(self.clock), self.stream, self.clock, new_event_id)
        self.app: FastAPI = create_api(
            TakeTrigger(accept, self.clock, TriggerMetrics(registry), Admission(64), per_user, per_key),
            AcceptInteractions(self.stream, new_event_id),
            ready=self.stream.ping,
            registry=registry,
            door=door,
            max_body_bytes=10_000,
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://trigger")

    async def events(self) -> list[TriggerRequested]:
        deliveries = await self.stream.consumer(Topic.TRIGGERS, "test", "one").receive(1000, 0)
        return [TriggerRequested.model_validate_json(one.payload) for one in deliveries]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with made.http:
        yield made


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "application/vnd.api+json", "APPLICATION/JSON"],
)
async def test_every_name_of_json_is_read(service: Service, content_type: str) -> None:
    answer = await service.http.post("/trigger", content=b'{"user_id": "42"}', headers={"content-type": content_type})
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"event_id", "request_id", "user_id", "accepted_at"}


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_nothing_else_is(service: Service, content_type: str) -> None:
    answer = await service.http.post("/trigger", content=b'{"user_id": "42"}', headers={"content-type": content_type})
    assert (answer.status_code, await service.events()) == (422, [])


async def test_a_body_in_pieces_is_one_body(service: Service) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"user_', b'id": "4', b'2", "request_id": "r"}'):
            yield piece

    answer = await service.http.post("/trigger", content=pieces(), headers={"content-type": "application/json"})
    assert answer.status_code == 202
    [event] = await service.events()
    assert (event.user_id, event.request_id) == ("42", "r")


async def test_a_body_above_the_bound_is_413(service: Service) -> None:
    answer = await service.http.post("/trigger", json={"user_id": "u", "campaign": "x" * 10_000})
    assert (answer.status_code, set(answer.json())) == (413, {"error", "detail"})


async def test_a_thousand_recent_interactions_are_taken(service: Service) -> None:
    body = {"user_id": "u", "recent": [{"item_id": n, "behavior": "click", "timestamp": 1} for n in range(100)]}
    assert (await service.http.post("/trigger", json=body)).status_code == 202
    [event] = await service.events()
    assert len(event.recent) == 100 <= MAX_RECENT


async def test_both_ways_are_counted_and_nothing_twice(service: Service) -> None:
    await service.http.post("/trigger", json={"user_id": "fast"})
    await service.http.post(
        "/trigger", content=b'{"user_id": "slow", "x": NaN}', headers={"content-type": "application/json"}
    )
    await service.http.post("/trigger", json={"user_id": ""})
    metrics = (await service.http.get("/metrics")).text
    assert 'rankgr_trigger_triggers_total{outcome="published"} 2.0' in metrics
    assert 'rankgr_http_requests_total{method="POST",route="/trigger",status="202"} 2.0' in metrics
    assert 'rankgr_http_requests_total{method="POST",route="/trigger",status="422"} 1.0' in metrics


async def test_a_user_who_comes_too_often_is_told_when_to_come_again() -> None:
    service = Service(per_user=RateLimit("user", 2.0, 3))
    slow_way = b'{"user_id": "ann", "x": NaN}'
    for _ in range(3):
        assert (await service.http.post("/trigger", json={"user_id": "ann"})).status_code == 202
    for content in (b'{"user_id": "ann"}', slow_way):
        answer = await service.http.post("/trigger", content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]) == (429, "RateLimited")
        assert answer.headers["retry-after"] == "1"
    assert (await service.http.post("/trigger", json={"user_id": "bob"})).status_code == 202
    service.clock.advance(0.5)
    assert (await service.http.post("/trigger", json={"user_id": "ann"})).status_code == 202
    assert len(await service.events()) == 5
    await service.http.aclose()


async def test_a_key_that_comes_too_often_is_too(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    now = datetime.now(UTC)
    tokens = [
        new_key(path, KeyId(name), "secret", name="", scopes=(Scope.TRIGGER,), now=now)[1] for name in ("one", "two")
    ]
    service = Service(Door.of(access_by(path), Scope.TRIGGER), per_key=RateLimit("API key", 1.0, 2))
    event = CLICK | {"user_id": "u"}

    async def ask(token: str, path: str, body: object) -> int:
        answer = await service.http.post(path, json=body, headers={"authorization": f"Bearer {token}"})
        return answer.status_code

    assert await ask(tokens[0], "/trigger", {"user_id": "a"}) == 202
    assert await ask(tokens[0], "/interactions", {"events": [event]}) == 202
    assert await ask(tokens[0], "/trigger", {"user_id": "b"}) == 429
    assert await ask(tokens[0], "/interactions", {"events": [event]}) == 429
    assert await ask(tokens[1], "/trigger", {"user_id": "a"}) == 202
    assert (await service.http.post("/trigger", json={"user_id": "a"})).status_code == 401
    await service.http.aclose()
