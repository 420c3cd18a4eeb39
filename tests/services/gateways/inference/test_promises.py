"""What every inference engine promises precompute (its port.py), in process and over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

import httpx
import pytest
from pydantic import TypeAdapter

from contracts.candidate_set import Candidate
from contracts.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineBusy,
    EngineDown,
    EngineFailed,
    PromptTooLong,
    RankGRError,
    UnknownToken,
)
from contracts.ids import ItemId, UserId
from services.gateways.inference.in_process import InProcessInferenceEngine
from services.gateways.inference.over_http import HttpInferenceEngine
from services.gateways.inference.port import EngineAnswer, EngineRequest, InferenceEngine
from services.runtime.http_errors import answer_of

ASKED = TypeAdapter(EngineRequest)
Decode = Callable[[EngineRequest], Awaitable[EngineAnswer]]
Build = Callable[[Decode], InferenceEngine]
REQUEST = EngineRequest(UserId("ü"), (1, 2, 3), (5, 6), (7, 8), (ItemId(-(2**63)),), 5000, 10)
ANSWER = EngineAnswer("m", "c", (Candidate(ItemId(2**63 - 1), -0.5, (1, 2)),), {"prefill": 1.5})


def engine_app(decode: Decode) -> Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]:
    """The engine process's own way to answer, without the process."""

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/readyz":
            return httpx.Response(200)
        try:
            found = await decode(ASKED.validate_json(request.content))
        except RankGRError as error:
            told = answer_of(error)
            return httpx.Response(told.status_code, content=bytes(told.body))
        items = [{"item_id": one.item_id, "score": one.score, "sid": one.sid, "levels": []} for one in found.items]
        versions = {"model_version": found.model_version, "catalog_version": found.catalog_version}
        return httpx.Response(200, json={**versions, "items": items, "timings_ms": found.timings_ms})

    return answer


@pytest.fixture(params=["in_process", "over_http"])
async def build(request: pytest.FixtureRequest) -> AsyncIterator[Build]:
    made: list[InferenceEngine] = []

    def make(decode: Decode) -> InferenceEngine:
        if request.param == "in_process":
            made.append(InProcessInferenceEngine(decode))
        else:
            transport = httpx.MockTransport(engine_app(decode))
            client = httpx.AsyncClient(transport=transport, base_url="http://engine")
            made.append(HttpInferenceEngine(client, timeout_s=5.0))
        return made[-1]

    yield make
    for engine in made:
        await engine.close()


@pytest.mark.parametrize("asked", [REQUEST, EngineRequest(UserId("u"), ())])
async def test_the_request_arrives_whole_and_the_answer_comes_back_whole(build: Build, asked: EngineRequest) -> None:
    seen: list[EngineRequest] = []

    async def decode(request: EngineRequest) -> EngineAnswer:
        seen.append(request)
        return ANSWER

    assert await build(decode).recommend(asked) == ANSWER
    assert seen == [asked]


@pytest.mark.parametrize(
    "error",
    [
        EngineBusy(7),
        DeadlineExceeded("too late"),
        BadRequest("beams: must be positive"),
        PromptTooLong(9, 8),
        UnknownToken(99, 50),
        EngineFailed("scores are not finite"),
        EngineDown("no weights"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_the_engines_errors_come_through_as_what_they_are(build: Build, error: RankGRError) -> None:
    async def decode(_request: EngineRequest) -> EngineAnswer:
        raise error

    with pytest.raises(type(error)) as caught:
        await build(decode).recommend(REQUEST)
    assert type(caught.value) is type(error)
    assert str(error) in str(caught.value)


async def test_no_answer_within_the_deadline_is_an_error_that_comes_soon_after_it() -> None:
    async def decode(_request: EngineRequest) -> EngineAnswer:
        await asyncio.Event().wait()
        raise AssertionError

    engine = InProcessInferenceEngine(decode)
    with pytest.raises(DeadlineExceeded, match="20 ms"):
        await engine.recommend(EngineRequest(UserId("u"), (), deadline_ms=20))


async def test_an_engine_that_stands_answers_ping(build: Build) -> None:
    async def decode(_request: EngineRequest) -> EngineAnswer:
        return ANSWER

    await build(decode).ping()
