"""How the engine over HTTP fails: nobody there, somebody else there, silence, an engine that is not ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from contracts.errors import BadRequest, EngineDown
from contracts.ids import UserId
from services.gateways.inference.over_http import HttpInferenceEngine
from services.gateways.inference.port import EngineRequest

REQUEST = EngineRequest(UserId("u"), (1,))


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """A server that takes connections and says nothing."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def answering(response: httpx.Response) -> HttpInferenceEngine:
    transport = httpx.MockTransport(lambda _request: response)
    return HttpInferenceEngine(httpx.AsyncClient(transport=transport, base_url="http://engine"), timeout_s=1.0)


async def test_nobody_there_is_engine_down(free_port: int) -> None:
    engine = HttpInferenceEngine.connect(f"http://127.0.0.1:{free_port}")
    with pytest.raises(EngineDown, match="cannot be reached"):
        await engine.recommend(REQUEST)
    with pytest.raises(EngineDown, match="cannot be reached"):
        await engine.ping()
    await engine.close()


async def test_silence_is_engine_down_soon_after_the_deadline(silent_port: int) -> None:
    engine = HttpInferenceEngine.connect(f"http://127.0.0.1:{silent_port}")
    began = time.monotonic()
    with pytest.raises(EngineDown, match="did not answer in time"):
        await engine.recommend(EngineRequest(UserId("u"), (1,), deadline_ms=50))
    assert time.monotonic() - began < 2.0
    await engine.close()


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"items": []}),
        httpx.Response(404, json={"error": "NotFound", "detail": "Not Found"}),
        httpx.Response(503, text="upstream"),
        httpx.Response(500, json={"error": "InternalError", "detail": "see the log"}),
        httpx.Response(302, headers={"location": "http://elsewhere/"}),
    ],
    ids=["page", "other json", "404", "503", "500", "redirect"],
)
async def test_an_answer_that_is_no_engines_is_engine_down(response: httpx.Response) -> None:
    engine = answering(response)
    with pytest.raises(EngineDown) as caught:
        await engine.recommend(REQUEST)
    assert "\n" not in str(caught.value)
    await engine.close()


async def test_an_unknown_refusal_is_bad_request() -> None:
    engine = answering(httpx.Response(422, json={"error": "SomethingNewer", "detail": "tokens: too many"}))
    with pytest.raises(BadRequest, match="tokens: too many"):
        await engine.recommend(REQUEST)
    await engine.close()


async def test_an_engine_that_is_not_ready_is_engine_down_with_its_reason() -> None:
    engine = answering(httpx.Response(503, json={"error": "EngineDown", "detail": "still loading"}))
    with pytest.raises(EngineDown, match="still loading"):
        await engine.ping()
    await engine.close()
