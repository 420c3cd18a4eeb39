"""Connections that trickle, flood or do nothing, on a real server over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from services.runtime.bounded_protocol import MOST_HEADER_BYTES, BoundedProtocol
from services.runtime.embedded_redis import free_port

WITHIN_S = 0.3


class Quick(BoundedProtocol):
    """Gives up soon, for tests."""

    request_within_s = WITHIN_S


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body."""
    assert scope["type"] == "http"
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    else:
        return
    body = b"%d" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port(eventually: Callable[..., Awaitable[None]]) -> AsyncIterator[int]:
    found = free_port()
    config = uvicorn.Config(app, port=found, http=Quick, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server._serve())

    async def started() -> bool:
        return server.started

    await eventually(started)
    yield found
    server.should_exit = True
    await serving


async def say(port: int, *pieces: bytes, pause_s: float = 0.0) -> tuple[bytes, float]:
    """What comes back until the server closes (or has answered), and how long that took."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began_s = loop.time()
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        answer = await asyncio.wait_for(reader.read(4096), 5.0)
    except ConnectionError:
        answer = b""
    took_s = loop.time() - began_s
    writer.close()
    return answer, took_s


POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\n"


async def test_requests_in_one_piece_or_a_few_are_answered(port: int) -> None:
    assert (await say(port, POST + b"abcdef"))[0].endswith(b"6")
    assert (await say(port, POST, b"abc", b"def", pause_s=0.02))[0].endswith(b"6")


async def test_a_connection_that_says_nothing_is_closed(port: int) -> None:
    answer, took_s = await say(port)
    assert answer == b""
    assert WITHIN_S * 0.5 < took_s < 3.0


@pytest.mark.parametrize("pieces", [(POST[:20],), (POST,), (POST, b"abc")], ids=["headers", "body", "half a body"])
async def test_a_request_that_never_ends_is_given_up(port: int, pieces: tuple[bytes, ...]) -> None:
    answer, took_s = await say(port, *pieces)
    assert b"200" not in answer
    assert took_s < 3.0


async def test_a_body_that_trickles_does_not_buy_time(port: int) -> None:
    answer, took_s = await say(port, POST, *([b"a"] * 5), pause_s=0.1)
    assert b"200" not in answer
    assert took_s < 3.0


async def test_headers_without_end_are_given_up(port: int) -> None:
    line = b"x-filler: " + b"y" * 1000 + b"\r\n"
    lines = [line] * (2 * MOST_HEADER_BYTES // len(line))
    answer, _took_s = await say(port, b"GET / HTTP/1.1\r\nhost: x\r\n", *lines)
    assert b"200" not in answer


async def test_an_idle_connection_after_an_answer_is_left_to_keep_alive(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(POST + b"abcdef")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(1) == b"6"
        await asyncio.sleep(WITHIN_S * 1.5)
    writer.close()
