"""What every inference engine promises precompute (its port.py): in process, over HTTP, behind replicas."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

import httpx
import pytest

from contracts.candidate_set import Candidate
from contracts.errors import (
    BadRequest,
    CatalogMismatch,
    DeadlineExceeded,
    EngineBusy,
    EngineDown,
    EngineFailed,
    NothingToRecommend,
    PromptTooLong,
    RankGRError,
    UnknownToken,
)
from contracts.ids import ItemId, UserId
from services.gateways.inference.in_process import InProcessInferenceEngine
from services.gateways.inference.over_http import HttpInferenceEngine
from services.gateways.inference.packed import AnswerColumns, pack_answer, read_prompt
from services.gateways.inference.port import EngineAnswer, EngineRequest, InferenceEngine
from services.gateways.inference.replicas import ReplicatedInferenceEngine
from services.runtime.clock import ManualClock
from services.runtime.http_errors import answer_of

Decode = Callable[[EngineRequest], Awaitable[EngineAnswer]]
Build = Callable[[Decode], InferenceEngine]
REQUEST = EngineRequest(
    UserId("ü"),
    (1, 2, 3),
    beams=(5, 6),
    lambdas=(7, 8),
    exclude=(ItemId(-(2**63)),),
    deadline_ms=5000,
    max_items=10,
    lambda_scope="request",
    iap_mix=0.25,
    item_filter=bytes([1, 128]),
    catalog_version="c",
)
ANSWER = EngineAnswer("m", "c", (Candidate(ItemId(2**63 - 1), -0.5, (1, 2)),), {"prefill": 1.5}, {"reused_tokens": 16})


def columns_of(answer: EngineAnswer) -> AnswerColumns:
    """The columns that the engine makes of such a list, of two codes each."""
    codes = [code for item in answer.items for code in item.sid]
    return AnswerColumns(
        model_version=answer.model_version,
        catalog_version=answer.catalog_version,
        timings_ms=answer.timings_ms,
        counts=answer.counts,
        levels=2,
        code_bytes=2,
        item_id=struct.pack(f"<{len(answer.items)}q", *(item.item_id for item in answer.items)),
        score=struct.pack(f"<{len(answer.items)}f", *(item.score for item in answer.items)),
        codes=struct.pack(f"<{len(codes)}H", *codes),
    )


def engine_app(decode: Decode) -> Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]:
    """The engine process's own way to answer, without the process."""

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/readyz":
            return httpx.Response(200)
        try:
            found = await decode(read_prompt(request.content).request)
        except RankGRError as error:
            told = answer_of(error)
            return httpx.Response(told.status_code, content=bytes(told.body), headers=told.headers)
        return httpx.Response(200, content=pack_answer(columns_of(found)))

    return answer


@pytest.fixture(params=["in_process", "over_http", "replicas"])
async def build(request: pytest.FixtureRequest) -> AsyncIterator[Build]:
    made: list[InferenceEngine] = []

    def make(decode: Decode) -> InferenceEngine:
        if request.param == "over_http":
            transport = httpx.MockTransport(engine_app(decode))
            client = httpx.AsyncClient(transport=transport, base_url="http://engine")
            made.append(HttpInferenceEngine(client, timeout_s=5.0))
        else:
            near = InProcessInferenceEngine(decode)
            made.append(
                near if request.param == "in_process" else ReplicatedInferenceEngine({"a": near}, ManualClock())
            )
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
        CatalogMismatch("c1", "c2"),
        NothingToRecommend("nothing is left"),
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


async def test_a_busy_engine_says_when_to_come_again(build: Build) -> None:
    async def decode(_request: EngineRequest) -> EngineAnswer:
        raise EngineBusy(64, 7.0)

    with pytest.raises(EngineBusy) as caught:
        await build(decode).recommend(REQUEST)
    assert caught.value.retry_after_s == 7.0
