"""The HTTP face: health, readiness, metrics, and one body for every error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Query
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field, field_validator

from contracts.errors import (
    BadCursor,
    CursorGone,
    DeadlineExceeded,
    EngineBusy,
    EngineFailed,
    PointerMoved,
    RankGRError,
    StoreDown,
)
from services.runtime.http import create_app
from services.runtime.http_errors import field_path

ERRORS: dict[str, RankGRError] = {
    "cursor": BadCursor("the cursor is damaged"),
    "gone": CursorGone("the list is gone"),
    "moved": PointerMoved("somebody was first"),
    "down": StoreDown("redis at host:1: cannot connect"),
    "busy": EngineBusy(3),
    "late": DeadlineExceeded("too late"),
    "failed": EngineFailed("NaN"),
}


class Event(BaseModel):
    """One of a batch."""

    item_id: int = Field(strict=True)
    name: str = ""

    @field_validator("name")
    @classmethod
    def _never_mud(cls, name: str) -> str:
        if name == "mud":
            raise ValueError("must not be mud")
        return name


class Batch(BaseModel):
    """A body with a list in it."""

    events: list[Event]


class Readiness:
    """What `/readyz` asks."""

    obstacle: RankGRError | None = None
    silent = False

    async def __call__(self) -> None:
        if self.silent:
            await asyncio.Event().wait()
        if self.obstacle:
            raise self.obstacle


@pytest.fixture
def ready() -> Readiness:
    return Readiness()


@pytest.fixture
def app(ready: Readiness) -> FastAPI:
    made = create_app("probe", ready=ready, metrics=CollectorRegistry(), max_body_bytes=1000)

    @made.post("/batch")
    async def batch(body: Batch, limit: Annotated[int, Query(ge=1)] = 1) -> dict[str, int]:
        return {"accepted": len(body.events), "limit": limit}

    @made.get("/fail/{kind}")
    async def fail(kind: str) -> None:
        raise ERRORS[kind]

    @made.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError("secret detail")

    return made


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://probe") as made:
        yield made


def told(response: httpx.Response, status: int, error: str) -> str:
    """The detail of an error answer of the one shape."""
    assert response.status_code == status
    body = response.json()
    assert set(body) == {"error", "detail"}
    assert body["error"] == error
    detail: str = body["detail"]
    assert detail
    assert "\n" not in detail
    return detail


async def test_a_process_that_runs_is_alive(client: httpx.AsyncClient, ready: Readiness) -> None:
    ready.obstacle = StoreDown("gone")
    assert (await client.get("/healthz")).json() == {"status": "alive"}


async def test_readiness_is_what_the_process_says(client: httpx.AsyncClient, ready: Readiness) -> None:
    assert (await client.get("/readyz")).status_code == 200
    ready.obstacle = StoreDown("redis at host:1: no answer in time")
    assert "no answer" in told(await client.get("/readyz"), 503, "StoreDown")
    ready.obstacle, ready.silent = None, True
    told(await client.get("/readyz"), 503, "Unavailable")


@pytest.mark.parametrize(
    ("kind", "status", "name"),
    [
        ("cursor", 422, "BadCursor"),
        ("gone", 410, "CursorGone"),
        ("moved", 409, "PointerMoved"),
        ("down", 503, "StoreDown"),
        ("busy", 429, "EngineBusy"),
        ("late", 503, "DeadlineExceeded"),
        ("failed", 500, "EngineFailed"),
    ],
)
async def test_each_error_has_its_status_and_its_sentence(
    client: httpx.AsyncClient, kind: str, status: int, name: str
) -> None:
    response = await client.get(f"/fail/{kind}")
    assert told(response, status, name) == str(ERRORS[kind])
    assert ("retry-after" in response.headers) is (status in (429, 503))


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{", "body: not valid JSON"),
        (b"", "body: Field required"),
        (b"[]", "body: Input should be"),
        (b"{}", "events: Field required"),
        (
            b'{"events": [{"item_id": 1}, {"item_id": "1"}]}',
            "events[1].item_id: Input should be a valid integer",
        ),
        (b'{"events": [{"item_id": 1, "name": "mud"}]}', "events[0].name: must not be mud"),
        (b'{"events": [{"item_id": NaN}]}', "events[0].item_id: "),
        (b"\xff\xfe", "body: not valid JSON"),
        (b'{"events": "\xff"}', "body: not valid JSON: no UTF-8"),
        (b"[" * 900, "body: not valid JSON"),
        (b'{"events": [{"item_id": "\\ud800"}]}', "events[0].item_id: "),
    ],
)
async def test_wrong_input_is_422_and_names_the_field(client: httpx.AsyncClient, body: bytes, detail: str) -> None:
    response = await client.post("/batch", content=body, headers={"content-type": "application/json"})
    assert told(response, 422, "BadRequest").startswith(detail)


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain"}], ids=["no type", "another type"])
async def test_json_that_is_not_called_json_is_told_what_is_missing(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    response = await client.post("/batch", content=b'{"events": []}', headers=headers)
    assert "content-type: application/json" in told(response, 422, "BadRequest")


async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient) -> None:
    response = await client.post("/batch?limit=0", json={"events": []})
    assert told(response, 422, "BadRequest").startswith("limit: ")


async def test_unknown_paths_and_methods_get_the_same_body(client: httpx.AsyncClient) -> None:
    told(await client.get("/nothing"), 404, "NotFound")
    told(await client.get("/batch/"), 404, "NotFound")
    response = await client.put("/batch")
    told(response, 405, "MethodNotAllowed")
    assert response.headers["allow"] == "POST"


async def test_a_bug_is_500_without_its_trace_and_is_raised_for_the_log(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    assert "secret" not in told(await client.get("/bug"), 500, "InternalError")
    strict = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=strict, base_url="http://probe") as other:
        with pytest.raises(ZeroDivisionError):
            await other.get("/bug")


async def test_a_body_that_says_it_is_too_large_is_413(client: httpx.AsyncClient) -> None:
    told(await client.post("/batch", content=b"x" * 1001), 413, "BodyTooLarge")


async def test_a_streamed_body_that_grows_too_large_is_413(client: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 100

    response = await client.post("/batch", content=parts(), headers={"content-type": "application/json"})
    told(response, 413, "BodyTooLarge")


async def test_a_body_of_exactly_the_bound_is_taken(client: httpx.AsyncClient) -> None:
    body = b'{"events": []}'.ljust(1000)
    response = await client.post("/batch", content=body, headers={"content-type": "application/json"})
    assert response.json() == {"accepted": 0, "limit": 1}


async def test_requests_are_counted_under_their_routes_template(client: httpx.AsyncClient) -> None:
    await client.get("/fail/down")
    await client.get("/fail/busy")
    await client.get("/nothing/at/all")
    await client.get("/bug")
    exposed = (await client.get("/metrics")).text
    for line in (
        'rankgr_http_requests_total{method="GET",route="/fail/{kind}",status="503"} 1.0',
        'rankgr_http_requests_total{method="GET",route="/fail/{kind}",status="429"} 1.0',
        'rankgr_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'rankgr_http_requests_total{method="GET",route="/bug",status="500"} 1.0',
        'rankgr_http_request_seconds_count{method="GET",route="/fail/{kind}"} 2.0',
    ):
        assert line in exposed


async def test_the_description_documents_the_error_body_and_hides_the_probes(
    client: httpx.AsyncClient,
) -> None:
    described = (await client.get("/openapi.json")).json()
    assert set(described["paths"]) == {"/batch", "/fail/{kind}", "/bug"}
    answers = described["paths"]["/batch"]["post"]["responses"]
    for status in ("4XX", "5XX"):
        schema = answers[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorBody"}
    assert "HTTPValidationError" not in json.dumps(described)


def test_field_paths_read_as_one_would_write_them() -> None:
    assert field_path(("body",)) == "body"
    assert field_path(("body", "events", 0, "item_id")) == "events[0].item_id"
    assert field_path(("query", "limit")) == "limit"
    assert field_path(()) == "body"
