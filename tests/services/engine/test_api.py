"""The engine over HTTP, in process: the answer's shape, readiness after warm-up, and a clear 422."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from prometheus_client import CollectorRegistry
from schemathesis.checks import not_a_server_error

from contracts.errors import EngineBusy
from contracts.ids import ItemId, UserId
from model.semantic_id.item_filter import ItemFilter
from services.engine.api import create_api
from services.engine.decoder_thread import Decoder
from services.engine.metrics import EngineMetrics
from services.engine.micro_batches import BatchLimits
from services.engine.recommend_items import RecommendItems
from services.engine.recommendation import Recommendation
from services.gateways.inference.in_process import InProcessInferenceEngine
from services.gateways.inference.over_http import HttpInferenceEngine
from services.gateways.inference.packed import PROMPT_TYPE, RECOMMENDATION_TYPE, pack_prompt, read_columns
from services.gateways.inference.port import CATALOG_HEADER, MODEL_HEADER, EngineRequest
from services.runtime.clock import Clock, ManualClock
from services.runtime.lifecycle import Site, listen, serve

from .hosts import (
    PLAIN_LIMITS,
    DyingDecoder,
    GatedDecoder,
    RememberingDecoder,
    SummingDecoder,
    all_waiting,
    batching,
    recommending,
)


class Engine:
    """An app and the verb behind it."""

    def __init__(self, host: Decoder, limits: BatchLimits = PLAIN_LIMITS, clock: Clock | None = None) -> None:
        registry = CollectorRegistry()
        self.recommend: RecommendItems = recommending(batching(host, limits, clock), EngineMetrics(registry), clock)
        self.app: FastAPI = create_api(self.recommend, clock=clock or ManualClock(), registry=registry)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://engine")


def held(host: GatedDecoder) -> None:
    """From now on the decoder stands still in its next batch."""
    host.gate.clear()
    host.entered.clear()


async def is_entered(host: GatedDecoder) -> None:
    assert await asyncio.to_thread(host.entered.wait, 30)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The app on a real server of this loop; its URL."""
    with listen("127.0.0.1", 0, "engine") as found:
        port = found.getsockname()[1]
    stop, started = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve([Site("engine", app, "127.0.0.1", port)], stop=stop, started=started))
    await started.wait()
    yield f"http://127.0.0.1:{port}"
    stop.set()
    await serving


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine(SummingDecoder())
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
        "counts": {},
    }
    assert (answer.headers[MODEL_HEADER], answer.headers[CATALOG_HEADER]) == ("m1", "c1")


async def test_level_scores_can_be_left_out(http: httpx.AsyncClient) -> None:
    answer = await http.post("/recommend", json={"user_id": "42", "tokens": [3], "level_scores": False})
    assert answer.json()["items"][0] == {"item_id": 1, "score": 2.0, "sid": [1, 1]}


@pytest.mark.parametrize("level_scores", [True, False])
async def test_packed_says_what_json_says(http: httpx.AsyncClient, level_scores: bool) -> None:
    asked = EngineRequest(
        UserId("ü"), (3, 4), beams=(5, 5), exclude=(ItemId(1), ItemId(-9)), deadline_ms=30_000, max_items=2
    )
    data = pack_prompt(asked, level_scores=level_scores)
    headers = {"content-type": PROMPT_TYPE, "accept": RECOMMENDATION_TYPE}
    packed = await http.post("/recommend", content=data, headers=headers)
    as_json = await http.post("/recommend", content=data, headers={"content-type": PROMPT_TYPE})
    assert (packed.status_code, packed.headers["content-type"]) == (200, RECOMMENDATION_TYPE)
    columns, body = read_columns(packed.content), as_json.json()
    assert (columns.model_version, columns.catalog_version) == (body["model_version"], body["catalog_version"])
    assert columns.timings_ms == body["timings_ms"]
    assert np.frombuffer(columns.item_id, "<i8").tolist() == [item["item_id"] for item in body["items"]]
    assert np.frombuffer(columns.score, "<f4").tolist() == [item["score"] for item in body["items"]]
    assert np.frombuffer(columns.codes, "<u2").reshape(2, 2).tolist() == [item["sid"] for item in body["items"]]
    if level_scores:
        assert columns.iap_logprob is not None
        assert columns.rsp_logscore is not None
        told = [[level["iap_logprob"] for level in item["levels"]] for item in body["items"]]
        assert np.frombuffer(columns.iap_logprob, "<f4").reshape(2, 2).tolist() == told
        assert set(np.frombuffer(columns.rsp_logscore, "<f4").tolist()) == {-0.25}
    else:
        assert columns.iap_logprob is columns.rsp_logscore is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "body: is no packed prompt"),
        (b"{}", "body: is no packed prompt"),
        (pack_prompt(EngineRequest(UserId("u"), (1,)), level_scores=True)[:-1], "body: its header tells of"),
        (pack_prompt(EngineRequest(UserId("u"), ()), level_scores=True), "tokens: "),
        (pack_prompt(EngineRequest(UserId(""), (1,)), level_scores=True), "user_id: "),
        (pack_prompt(EngineRequest(UserId("u"), (1, 2**31)), level_scores=True), r"tokens[1]: "),
        (pack_prompt(EngineRequest(UserId("u"), (1,), beams=(3, 0)), level_scores=True), r"beams[1]: "),
        (pack_prompt(EngineRequest(UserId("u"), (1,), max_items=0), level_scores=True), "max_items: "),
        (pack_prompt(EngineRequest(UserId("u"), (1,), iap_mix=float("nan")), level_scores=True), "iap_mix: "),
    ],
)
async def test_a_bad_packed_request_is_refused_by_the_field_s_name(
    http: httpx.AsyncClient, data: bytes, reason: str
) -> None:
    answer = await http.post("/recommend", content=data, headers={"content-type": PROMPT_TYPE})
    assert (answer.status_code, answer.json()["error"]) == (422, "BadRequest")
    assert answer.json()["detail"].startswith(reason)


async def test_a_body_of_another_type_is_not_read(http: httpx.AsyncClient) -> None:
    for headers in ({}, {"content-type": "text/plain"}):
        answer = await http.post("/recommend", content=b'{"user_id": "42", "tokens": [1]}', headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (422, "BadRequest")
    answer = await http.post("/recommend", content=b"{", headers={"content-type": "application/json; charset=utf-8"})
    assert answer.json()["detail"].startswith("body: Invalid JSON")


async def test_what_a_request_says_about_the_decoding_reaches_the_decoder() -> None:
    decoder = RememberingDecoder()
    engine = Engine(decoder)
    await engine.recommend.start()
    body = {
        "user_id": "42",
        "tokens": [3],
        "lambdas": [7, 8],
        "lambda_scope": "request",
        "iap_mix": 0.5,
        "filter": base64.b64encode(bytes([0b10])).decode(),
        "catalog_version": "c1",
    }
    async with engine.client() as http:
        assert (await http.post("/recommend", json=body)).status_code == 200
    await engine.recommend.stop()
    asked = decoder.seen[-1]
    assert (asked.user, asked.lambdas, asked.lambda_scope, asked.iap_mix) == ("42", (7, 8), "request", 0.5)
    assert asked.item_filter == ItemFilter(bytes([0b10]))
    assert asked.max_items == 1400


@pytest.mark.parametrize(
    ("change", "error", "detail"),
    [
        ({"filter": "Ag=="}, "BadRequest", "catalog_version: a filter needs"),
        (
            {"filter": "Ag==", "catalog_version": "c2"},
            "CatalogMismatch",
            "catalog_version: the request was made for c2",
        ),
        ({"catalog_version": "c2"}, "CatalogMismatch", "catalog_version: the request was made for c2"),
        ({"filter": "no base64", "catalog_version": "c1"}, "BadRequest", "filter: must be base64"),
        ({"filter": 7, "catalog_version": "c1"}, "BadRequest", "filter: "),
        ({"lambda_scope": "user"}, "BadRequest", "lambda_scope: "),
        ({"iap_mix": "much"}, "BadRequest", "iap_mix: "),
        ({"level_scores": 1}, "BadRequest", "level_scores: "),
        ({"exclude": [1, 2, 3, 4, 5]}, "NothingToRecommend", "exclusions and filter leave no item"),
    ],
)
async def test_a_request_that_this_engine_cannot_answer_is_422(
    http: httpx.AsyncClient, change: dict[str, object], error: str, detail: str
) -> None:
    answer = await http.post("/recommend", json={"user_id": "42", "tokens": [1]} | change)
    assert (answer.status_code, answer.json()["error"]) == (422, error)
    assert answer.json()["detail"].startswith(detail)
    assert answer.headers[MODEL_HEADER] == "m1"


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
    host = SummingDecoder()
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
    host = GatedDecoder()
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
    assert 'outcome="ok"' not in metrics, "the warm-up is nobody's request"


async def test_the_time_that_reading_a_request_took_counts() -> None:
    host, clock = SummingDecoder(), ManualClock()
    engine = Engine(host, clock=clock)
    await engine.recommend.start()

    async def slow(body: bytes) -> AsyncIterator[bytes]:
        yield body[:10]
        clock.advance(0.3)
        yield body[10:]

    async with engine.client() as http:
        statuses = []
        # What is left of the second is real time: enough for a machine that is busy.
        for deadline_ms in (300, 30_300):
            body = json.dumps({"user_id": "42", "tokens": [1], "deadline_ms": deadline_ms}).encode()
            answer = await http.post("/recommend", content=slow(body), headers={"content-type": "application/json"})
            statuses.append((answer.status_code, answer.json().get("error")))
    await engine.recommend.stop()
    assert statuses[0] == (503, "DeadlineExceeded")
    assert host.batches == [[3], [1]], "the warm-up, and the one in time"


async def test_a_full_queue_is_429_and_says_when_to_come_again() -> None:
    host, clock = GatedDecoder(), ManualClock()
    host.gate.set()
    engine = Engine(host, BatchLimits(most=1, max_wait_s=0, waiting=2), clock)
    await engine.recommend.start()
    body = {"user_id": "42", "tokens": [1]}
    async with engine.client() as http:
        held(host)
        running = asyncio.create_task(http.post("/recommend", json=body))
        await is_entered(host)
        waiting = [asyncio.create_task(http.post("/recommend", json=body)) for _ in range(2)]
        await all_waiting(engine.recommend.serving.host, 2)
        refused = await http.post("/recommend", json=body)
        assert (refused.status_code, refused.json()["error"]) == (429, "EngineBusy")
        assert refused.headers["retry-after"] == "1"
        # Three prompts stay nine seconds and then leave: one in three seconds.
        clock.advance(9)
        host.gate.set()
        assert [(await one).status_code for one in (running, *waiting)] == [200, 200, 200]
        assert engine.recommend.pace.per_prompt_s == pytest.approx(3.0)
        held(host)
        again = [asyncio.create_task(http.post("/recommend", json=body))]
        await is_entered(host)
        again += [asyncio.create_task(http.post("/recommend", json=body)) for _ in range(2)]
        await all_waiting(engine.recommend.serving.host, 2)
        refused = await http.post("/recommend", json=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "6")
        assert refused.headers[MODEL_HEADER] == "m1"
        host.gate.set()
        await asyncio.gather(*again)
    await engine.recommend.stop()


async def test_a_prompt_whose_deadline_is_shorter_than_the_queue_is_refused_at_once() -> None:
    host, clock = GatedDecoder(), ManualClock()
    host.gate.set()
    engine = Engine(host, BatchLimits(most=1, max_wait_s=0, waiting=9), clock)
    await engine.recommend.start()
    with engine.recommend.pace.visit() as visit:
        clock.advance(2)
        visit.answered = True
    held(host)

    def asking(deadline_ms: int) -> asyncio.Task[Recommendation]:
        request = EngineRequest(UserId("42"), (1,), deadline_ms=deadline_ms)
        return asyncio.create_task(engine.recommend(request))

    running = asking(30_000)
    await is_entered(host)
    # Nobody waits: it is tried, whatever the estimate says.
    waiting = asking(3_000)
    await all_waiting(engine.recommend.serving.host, 1)
    with pytest.raises(EngineBusy) as caught:
        await asking(5_999)
    assert caught.value.retry_after_s == pytest.approx(0.001)
    in_time = asking(6_000)
    await all_waiting(engine.recommend.serving.host, 2)
    host.gate.set()
    await asyncio.gather(running, waiting, in_time)
    await engine.recommend.stop()


async def test_a_client_that_leaves_frees_its_place() -> None:
    host = GatedDecoder()
    host.gate.set()
    registry = CollectorRegistry()
    recommend = recommending(batching(host, BatchLimits(most=1, max_wait_s=0, waiting=1)), EngineMetrics(registry))
    app = create_api(recommend, clock=ManualClock(), registry=registry)
    await recommend.start()
    async with served(app) as url, httpx.AsyncClient(base_url=url) as http:
        held(host)
        body = {"user_id": "42", "tokens": [1]}
        running = asyncio.create_task(http.post("/recommend", json=body))
        await is_entered(host)
        waiting = asyncio.create_task(http.post("/recommend", json={"user_id": "42", "tokens": [2]}))
        await all_waiting(recommend.serving.host, 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        await all_waiting(recommend.serving.host, 0)
        host.gate.set()
        assert (await running).status_code == 200
        metrics = (await http.get("/metrics")).text
    await recommend.stop()
    assert [2] not in host.batches
    assert 'rankgr_engine_requests_total{outcome="Abandoned"} 1.0' in metrics
    assert 'rankgr_http_requests_total{method="POST",route="/recommend",status="499"} 1.0' in metrics


async def test_an_engine_whose_decoder_is_lost_says_so_once_and_is_not_ready() -> None:
    registry = CollectorRegistry()
    recommend = recommending(batching(DyingDecoder()), EngineMetrics(registry))
    told: list[str] = []
    recommend.lost = lambda: told.append("lost")
    app = create_api(recommend, clock=ManualClock(), registry=registry)
    await recommend.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://engine") as http:
        assert (await http.get("/readyz")).status_code == 200
        for _ in range(2):
            answer = await http.post("/recommend", json={"user_id": "42", "tokens": [7]})
            assert (answer.status_code, answer.json()["error"]) == (503, "EngineDown")
        assert (await http.get("/readyz")).status_code == 503
    await recommend.stop()
    assert (told, recommend.is_lost) == (["lost"], True)


async def test_precompute_gets_the_same_answer_over_http_and_in_process(engine: Engine) -> None:
    request = EngineRequest(user_id=UserId("42"), tokens=(3, 4), max_items=3, deadline_ms=30_000)
    over_http = HttpInferenceEngine(engine.client(), timeout_s=30)
    near = await InProcessInferenceEngine(engine.recommend.answer, engine.recommend.ready).recommend(request)
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
    recommend = recommending(batching(SummingDecoder()), EngineMetrics(registry))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await recommend.start()
        yield
        await recommend.stop()

    return create_api(recommend, clock=ManualClock(), registry=registry, lifespan=lifespan)


schemathesis.serializer.alias(PROMPT_TYPE, "application/octet-stream")
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
