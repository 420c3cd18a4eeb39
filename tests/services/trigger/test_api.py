"""The trigger service over HTTP, in process: answers, and a clear 422 for whatever is wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from prometheus_client import CollectorRegistry
from schemathesis.checks import not_a_server_error

from contracts.errors import StreamDown
from contracts.messages import InteractionRecorded, Topic, TriggerRequested
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.gateways.event_stream.port import EventPublisher
from services.gateways.trigger_ledger.in_memory import MemoryTriggerLedger
from services.runtime.admission import Admission
from services.runtime.clock import ManualClock
from services.runtime.event_ids import uuid7_ids
from services.trigger.accept_interactions import AcceptInteractions
from services.trigger.accept_trigger import AcceptTrigger
from services.trigger.api import create_api
from services.trigger.metrics import TriggerMetrics
from services.trigger.take_trigger import TakeTrigger

CLICK = {"item_id": 7, "behavior": "click", "timestamp": 1763769600000}
EVENT = CLICK | {"user_id": "42"}


class DownStream:
    """A publisher whose server is gone."""

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        raise StreamDown(f"no stream for {topic} {key} {len(payload)}")


def app_over(stream: EventPublisher, ready: MemoryEventStream, clock: ManualClock) -> FastAPI:
    new_event_id, registry = uuid7_ids(clock, Random(7)), CollectorRegistry()
    accept = AcceptTrigger(MemoryTriggerLedger(clock), stream, clock, new_event_id)
    return create_api(
        TakeTrigger(accept, clock, TriggerMetrics(registry), Admission(64)),
        AcceptInteractions(stream, new_event_id),
        ready=ready.ping,
        registry=registry,
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stream(clock: ManualClock) -> MemoryEventStream:
    return MemoryEventStream(clock)


@pytest.fixture
async def http(stream: MemoryEventStream, clock: ManualClock) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app_over(stream, stream, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://trigger") as client:
        yield client


async def payloads(stream: MemoryEventStream, topic: str) -> list[bytes]:
    return [one.payload for one in await stream.consumer(topic, "test", "one").receive(2000, 0)]


async def test_an_accepted_trigger_is_answered_with_its_event(
    http: httpx.AsyncClient, stream: MemoryEventStream, clock: ManualClock
) -> None:
    body = {
        "user_id": "42",
        "request_id": "r-1",
        "scene": "home",
        "recent": [CLICK],
        "context": {"device": "tv"},
    }
    answer = await http.post("/trigger", json=body)
    assert answer.status_code == 202
    assert "server" not in answer.headers
    assert set(answer.json()) == {"event_id", "request_id", "user_id", "accepted_at"}
    assert answer.json()["accepted_at"] == clock.now_ms()
    [payload] = await payloads(stream, Topic.TRIGGERS)
    event = TriggerRequested.model_validate_json(payload)
    assert (event.user_id, event.request_id, event.event_id) == ("42", "r-1", answer.json()["event_id"])
    assert (event.scene, event.context.device, event.recent[0].item_id) == ("home", "tv", 7)


async def test_the_same_request_twice_gets_the_same_answer(
    http: httpx.AsyncClient, stream: MemoryEventStream, clock: ManualClock
) -> None:
    first = await http.post("/trigger", json={"user_id": "42", "request_id": "r"})
    clock.advance(2)
    second = await http.post("/trigger", json={"user_id": "42", "request_id": "r", "recent": [CLICK]})
    assert second.json() == first.json()
    assert len(await payloads(stream, Topic.TRIGGERS)) == 1


async def test_what_is_not_known_is_ignored(http: httpx.AsyncClient) -> None:
    body = {"user_id": "42", "campaign": 3, "context": {"device": "mobile", "weather": {"rain": [1, 2]}}}
    assert (await http.post("/trigger", json=body)).status_code == 202


@pytest.mark.parametrize("user", ["a", "ü" * 128, "日本/🛒 %2F", "u\u0301", " ", "\u202e"])
async def test_any_unicode_user_id_is_kept_as_it_came(
    http: httpx.AsyncClient, stream: MemoryEventStream, user: str
) -> None:
    answer = await http.post("/trigger", json={"user_id": user})
    assert answer.status_code == 202
    assert answer.json()["user_id"] == user
    [payload] = await payloads(stream, Topic.TRIGGERS)
    assert TriggerRequested.model_validate_json(payload).user_id == user


async def test_interactions_are_accepted_as_a_batch(http: httpx.AsyncClient, stream: MemoryEventStream) -> None:
    answer = await http.post("/interactions", json={"events": [EVENT, EVENT | {"behavior": "favourite"}]})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
    events = [InteractionRecorded.model_validate_json(one) for one in await payloads(stream, Topic.INTERACTIONS)]
    assert [event.behavior for event in events] == ["click", "favourite"]


BAD_TRIGGERS: list[tuple[str, object, str]] = [
    ("no user", {}, "user_id"),
    ("user null", {"user_id": None}, "user_id"),
    ("user a number", {"user_id": 42}, "user_id"),
    ("user empty", {"user_id": ""}, "user_id"),
    ("user too long", {"user_id": "x" * 129}, "user_id"),
    ("user with NUL", {"user_id": "a\x00b"}, "user_id"),
    ("user a lone surrogate", {"user_id": "\ud800"}, "user_id"),
    ("request id too long", {"user_id": "u", "request_id": "x" * 129}, "request_id"),
    ("request id a list", {"user_id": "u", "request_id": []}, "request_id"),
    ("scene too long", {"user_id": "u", "scene": "x" * 65}, "scene"),
    ("scene a lone surrogate", {"user_id": "u", "scene": "\udfff"}, "scene"),
    ("context a list", {"user_id": "u", "context": []}, "context"),
    ("device a number", {"user_id": "u", "context": {"device": 5}}, "context.device"),
    ("recent no list", {"user_id": "u", "recent": "x"}, "recent"),
    ("recent too many", {"user_id": "u", "recent": [CLICK] * 1001}, "recent"),
    ("item a string", {"user_id": "u", "recent": [CLICK | {"item_id": "7"}]}, "recent[0].item_id"),
    ("item a float", {"user_id": "u", "recent": [CLICK | {"item_id": 7.0}]}, "recent[0].item_id"),
    ("item a bool", {"user_id": "u", "recent": [CLICK | {"item_id": True}]}, "recent[0].item_id"),
    ("item above int64", {"user_id": "u", "recent": [CLICK | {"item_id": 2**63}]}, "recent[0].item_id"),
    ("item far above", {"user_id": "u", "recent": [CLICK | {"item_id": 10**400}]}, "recent[0].item_id"),
    ("time negative", {"user_id": "u", "recent": [CLICK, CLICK | {"timestamp": -1}]}, "recent[1].timestamp"),
    ("time absurd", {"user_id": "u", "recent": [CLICK | {"timestamp": 2**53}]}, "recent[0].timestamp"),
    ("time NaN", {"user_id": "u", "recent": [CLICK | {"timestamp": float("nan")}]}, "recent[0].timestamp"),
    ("time a float", {"user_id": "u", "recent": [CLICK | {"timestamp": 1.5}]}, "recent[0].timestamp"),
    ("behaviour unknown", {"user_id": "u", "recent": [CLICK | {"behavior": "lick"}]}, "recent[0].behavior"),
    (
        "behaviour made inside",
        {"user_id": "u", "recent": [CLICK | {"behavior": "pseudo_exposure"}]},
        "recent[0].behavior",
    ),
    ("body a list", [], "body"),
    ("body a string", "x", "body"),
    ("body null", None, "body"),
]


@pytest.mark.parametrize(("body", "field"), [row[1:] for row in BAD_TRIGGERS], ids=[row[0] for row in BAD_TRIGGERS])
async def test_a_bad_trigger_is_refused_by_the_field_s_name(
    http: httpx.AsyncClient, stream: MemoryEventStream, body: object, field: str
) -> None:
    answer = await http.post("/trigger", content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "detail"}
    assert answer.json()["detail"].startswith(f"{field}: ")
    assert await payloads(stream, Topic.TRIGGERS) == []


BAD_BATCHES: list[tuple[str, object, str]] = [
    ("no events", {}, "events"),
    ("an empty batch", {"events": []}, "events"),
    ("too many", {"events": [EVENT] * 1001}, "events"),
    (
        "one bad behaviour spoils all",
        {"events": [EVENT, EVENT | {"behavior": "search"}]},
        "events[1].behavior",
    ),
    ("no user", {"events": [CLICK]}, "events[0].user_id"),
    ("item a string", {"events": [EVENT | {"item_id": "7"}]}, "events[0].item_id"),
    ("position negative", {"events": [EVENT | {"position": -1}]}, "events[0].position"),
    ("position a string", {"events": [EVENT | {"position": "1"}]}, "events[0].position"),
    ("event id too long", {"events": [EVENT | {"event_id": "x" * 129}]}, "events[0].event_id"),
]


@pytest.mark.parametrize(("body", "field"), [row[1:] for row in BAD_BATCHES], ids=[row[0] for row in BAD_BATCHES])
async def test_a_bad_batch_is_refused_whole(
    http: httpx.AsyncClient, stream: MemoryEventStream, body: object, field: str
) -> None:
    answer = await http.post("/interactions", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{field}: ")
    assert await payloads(stream, Topic.INTERACTIONS) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"user_id": "\\ud800"}', b'{"user_id": ' + b"9" * 5000 + b"}"],
    ids=["empty", "cut", "no UTF-8", "deep", "surrogate", "a number of 5000 digits"],
)
async def test_malformed_json_is_422(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await http.post("/trigger", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "detail"}


async def test_a_body_of_two_megabytes_is_413(http: httpx.AsyncClient) -> None:
    answer = await http.post("/trigger", json={"user_id": "u", "context": {"x": "y" * 2_000_000}})
    assert (answer.status_code, set(answer.json())) == (413, {"error", "detail"})


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/trigger", 405), ("POST", "/nowhere", 404)])
async def test_other_methods_and_paths_get_the_common_error_body(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, set(answer.json())) == (status, {"error", "detail"})


async def test_a_stream_that_is_down_is_503_with_retry_after(stream: MemoryEventStream, clock: ManualClock) -> None:
    transport = httpx.ASGITransport(app_over(DownStream(), stream, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://trigger") as client:
        for path, body in (("/trigger", {"user_id": "u"}), ("/interactions", {"events": [EVENT]})):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["error"]) == (503, "StreamDown")
            assert "retry-after" in answer.headers


async def test_what_was_accepted_is_counted(http: httpx.AsyncClient) -> None:
    for _ in range(2):
        await http.post("/trigger", json={"user_id": "42", "request_id": "r"})
    await http.post("/interactions", json={"events": [EVENT] * 3})
    metrics = (await http.get("/metrics")).text
    assert 'rankgr_trigger_triggers_total{outcome="published"} 1.0' in metrics
    assert 'rankgr_trigger_triggers_total{outcome="duplicate"} 1.0' in metrics
    assert "rankgr_trigger_interactions_total 3.0" in metrics


async def test_healthy_and_ready(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/readyz")).status_code == 200


def _app_for_fuzzing() -> FastAPI:
    clock = ManualClock()
    stream = MemoryEventStream(clock)
    return app_over(stream, stream, clock)


schema = schemathesis.openapi.from_asgi("/openapi.json", _app_for_fuzzing())


@schema.parametrize()
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_input_of_any_shape_breaks_the_service(case: schemathesis.Case[Any]) -> None:
    answer = case.call()
    case.validate_response(answer, checks=[not_a_server_error])
    assert answer.status_code in {202, 405, 413, 422}
    assert "server" not in answer.headers
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error", "detail"}
