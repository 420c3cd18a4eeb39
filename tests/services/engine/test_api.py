"""The engine over HTTP, in process: the answer's shape, readiness after warm-up, and a clear 422."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from prometheus_client import CollectorRegistry
from schemathesis.checks import not_a_server_error

from contracts.ids import UserId
from services.engine.api import create_api
from services.engine.metrics import EngineMetrics
from services.engine.micro_batches import Host
from services.engine.recommend_items import RecommendItems
from services.gateways.inference.in_process import InProcessInferenceEngine
from services.gateways.inference.over_http import HttpInferenceEngine
from services.gateways.inference.port import EngineRequest

from .hosts import GatedHost, SummingHost, all_waiting, batching, recommending


class Engine:
    """An app and the verb behind it."""

    def __init__(self, host: Host, *, waiting: int = 8) -> None:
        registry = CollectorRegistry()
        self.recommend: RecommendItems = recommending(batching(host, waiting=waiting), EngineMetrics(registry))
        self.app: FastAPI = create_api(self.recommend, registry=registry)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://engine")


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine(SummingHost())
    await made.recommend.start()
    yield made
    await made.recommend.stop()


@pytest.fixture
async def http(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with engine.client() as client:
        yield client


async def test_an_answer_has_exactly_the_promised_shape(http: httpx.AsyncClient) -> None:
    body = {
        "user_id": "42",
        "tokens": [3, 4],
        "exclude": [1],
        "max_items": 2,
        "beams": [5, 5],
        "deadline_ms": 30_000,
    }
    answer = await http.post("/recommend", json=body)
    assert answer.status_code == 200
    level = {"iap_logprob": -0.5, "rsp_logscore": -0.25}
    assert answer.json() == {
        "model_version": "m1",
        "catalog_version": "c1",
        "items": [
            {"item_id": 2, "score": 5.0, "sid": [2, 2], "levels": [level, level]},
            {"item_id": 3, "score": 4.0, "sid": [3, 0], "levels": [level, level]},
        ],
        "timings_ms": {"queue": 0.0, "prefill": 1.5, "level1": 2.0, "level2": 3.0, "expand": 0.5},
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"user_id": 5}, "user_id"),
        ({"tokens": []}, "tokens"),
        ({"tokens": None}, "tokens"),
        ({"tokens": [1, "2"]}, "tokens[1]"),
        ({"tokens": [1.0]}, "tokens[0]"),
        ({"tokens": [True]}, "tokens[0]"),
        ({"tokens": [-1]}, "tokens[0]"),
        ({"tokens": [10**30]}, "tokens[0]"),
        ({"tokens": [1] * 65_537}, "tokens"),
        ({"beams": [0, 1]}, "beams[0]"),
        ({"beams": []}, "beams"),
        ({"lambdas": ["x"]}, "lambdas[0]"),
        ({"exclude": ["7"]}, "exclude[0]"),
        ({"exclude": [2**63]}, "exclude[0]"),
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"deadline_ms": 1.5}, "deadline_ms"),
        ({"max_items": 0}, "max_items"),
        ({"max_items": 10**9}, "max_items"),
    ],
)
async def test_a_bad_request_is_refused_by_the_field_s_name(
    http: httpx.AsyncClient, change: dict[str, object], field: str
) -> None:
    answer = await http.post("/recommend", json={"user_id": "42", "tokens": [1]} | change)
    assert (answer.status_code, set(answer.json())) == (422, {"error", "detail"})
    assert answer.json()["detail"].startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"tokens": [50]}, 422, "UnknownToken"),
        ({"beams": [3]}, 422, "BadRequest"),
        ({"tokens": [13]}, 500, "EngineFailed"),
    ],
)
async def test_what_the_model_says_of_a_request_is_told(
    http: httpx.AsyncClient, change: dict[str, object], status: int, error: str
) -> None:
    answer = await http.post("/recommend", json={"user_id": "42", "tokens": [1]} | change)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_it_is_ready_once_it_is_warm_and_no_longer_when_it_has_stopped() -> None:
    host = SummingHost()
    engine = Engine(host)
    async with engine.client() as http:
        assert (await http.get("/readyz")).status_code == 503
        await engine.recommend.start()
        assert host.batches == [[3]]
        assert (await http.get("/readyz")).status_code == 200
        await engine.recommend.stop()
        assert (await http.get("/readyz")).status_code == 503
        answer = await http.post("/recommend", json={"user_id": "42", "tokens": [1]})
        assert (answer.status_code, answer.json()["error"]) == (503, "EngineDown")


async def test_a_deadline_that_passes_is_503() -> None:
    host = GatedHost()
    host.gate.set()
    engine = Engine(host)
    await engine.recommend.start()
    host.gate.clear()
    async with engine.client() as http:
        answer = await http.post("/recommend", json={"user_id": "42", "tokens": [1], "deadline_ms": 1})
        assert (answer.status_code, answer.json()["error"]) == (503, "DeadlineExceeded")
        metrics = (await http.get("/metrics")).text
    host.gate.set()
    await engine.recommend.stop()
    assert 'rankgr_engine_requests_total{outcome="DeadlineExceeded"} 1.0' in metrics
    assert 'rankgr_engine_requests_total{outcome="ok"} 1.0' in metrics


async def test_a_full_queue_is_429_with_retry_after() -> None:
    host = GatedHost()
    host.gate.set()
    engine = Engine(host, waiting=1)
    await engine.recommend.start()
    host.gate.clear()
    host.entered.clear()
    body = {"user_id": "42", "tokens": [1]}
    async with engine.client() as http:
        running = asyncio.create_task(http.post("/recommend", json=body))
        assert await asyncio.to_thread(host.entered.wait, 30)
        waiting = asyncio.create_task(http.post("/recommend", json=body))
        await all_waiting(engine.recommend.host, 1)
        refused = await http.post("/recommend", json=body)
        assert (refused.status_code, refused.json()["error"]) == (429, "EngineBusy")
        assert "retry-after" in refused.headers
        assert "rankgr_engine_requests_total" in (await http.get("/metrics")).text
        host.gate.set()
        assert [(await one).status_code for one in (running, waiting)] == [200, 200]
    await engine.recommend.stop()


async def test_precompute_gets_the_same_answer_over_http_and_in_process(engine: Engine) -> None:
    request = EngineRequest(user_id=UserId("42"), tokens=(3, 4), max_items=3, deadline_ms=30_000)
    over_http = HttpInferenceEngine(engine.client(), timeout_s=30)
    near = await InProcessInferenceEngine(engine.recommend, engine.recommend.ready).recommend(request)
    far = await over_http.recommend(request)
    await over_http.close()
    assert (far.items, far.model_version, far.catalog_version) == (
        near.items,
        near.model_version,
        near.catalog_version,
    )


async def test_a_token_that_is_no_int64_is_an_unknown_token_in_process_too(engine: Engine) -> None:
    with pytest.raises(Exception, match="outside the vocabulary"):
        await engine.recommend(EngineRequest(user_id=UserId("42"), tokens=(2**70,)))


def _app_for_fuzzing() -> FastAPI:
    registry = CollectorRegistry()
    recommend = recommending(batching(SummingHost()), EngineMetrics(registry))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await recommend.start()
        yield
        await recommend.stop()

    return create_api(recommend, registry=registry, lifespan=lifespan)


schema = schemathesis.openapi.from_asgi("/openapi.json", _app_for_fuzzing())


@schema.parametrize()
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_input_of_any_shape_breaks_the_service(case: schemathesis.Case[Any]) -> None:
    answer = case.call()
    # A prompt that cannot be scored and a deadline of a millisecond are answered; any other 5xx would be a bug.
    if answer.status_code < 500 or answer.json()["error"] not in {"EngineFailed", "DeadlineExceeded"}:
        case.validate_response(answer, checks=[not_a_server_error])
        assert answer.status_code in {200, 405, 413, 422}
    assert "server" not in answer.headers
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error", "detail"}
