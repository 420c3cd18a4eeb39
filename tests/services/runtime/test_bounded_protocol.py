"""Connections that trickle, flood or do nothing, on a real server over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from services.runtime.bounded_protocol import MOST_HEADER_BYTES, BoundedProtocol
from services.runtime.embedded_redis import free_port

WITHIN_S = 0.3
LONG = 8_000_000


class Quick(BoundedProtocol):
    """Gives up soon, for tests."""

    request_within_s = WITHIN_S
    read_within_s = 3 * WITHIN_S
    most_connections = 5


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
    if scope["path"] == "/long":
        body = bytes(LONG)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def server(eventually: Callable[..., Awaitable[None]]) -> AsyncIterator[uvicorn.Server]:
    found = free_port()
    config = uvicorn.Config(app, port=found, http=Quick, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server._serve())

    async def started() -> bool:
        return server.started

    await eventually(started)
    yield server
    server.should_exit = True
    await serving


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    return server.config.port


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


@pytest.mark.parametrize("count", [1, 2000], ids=["one", "many"])
async def test_headers_that_are_too_long_are_told_so_even_when_they_come_in_one_read(port: int, count: int) -> None:
    header = b"a: " + b"x" * (2 * MOST_HEADER_BYTES // count) + b"\r\n"
    answer, _took_s = await say(port, b"GET / HTTP/1.1\r\nhost: x\r\n" + header * count + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'{"error": "HeadersTooLarge", "detail": ' in answer


async def test_a_large_body_in_one_read_is_no_header(port: int) -> None:
    body = b"x" * (4 * MOST_HEADER_BYTES)
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    assert (await say(port, head + body))[0].endswith(b"%d" % len(body))


async def test_what_is_no_http_gets_the_common_error_body(port: int) -> None:
    answer, _took_s = await say(port, b"\x16\x03\x01 what\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b'{"error": "BadRequest", "detail": "this is no HTTP/1.1 request"}')


@pytest.mark.parametrize("ending", [b"", b"connection: close\r\n"], ids=["kept", "last"])
async def test_who_reads_nothing_of_an_answer_is_cut_off(
    server: uvicorn.Server, port: int, ending: bytes, eventually: Callable[..., Awaitable[None]]
) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /long HTTP/1.1\r\nhost: x\r\n" + ending + b"\r\n")

        async def is_taken() -> bool:
            return bool(server.server_state.connections)

        async def is_gone() -> bool:
            return not server.server_state.connections

        await eventually(is_taken)
        await eventually(is_gone, within_s=10.0)


async def test_who_reads_an_answer_that_fills_all_buffers_gets_the_whole_of_it(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
    writer.write(b"GET /long HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    size = 0
    while piece := await reader.read(400_000):
        size += len(piece)
    writer.close()
    assert size > LONG


async def test_a_connection_too_many_is_told_so_and_the_others_are_served_on(
    port: int, eventually: Callable[..., Awaitable[None]]
) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(Quick.most_connections)]
    for _reader, writer in opened:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    for reader, _writer in opened:
        assert (await asyncio.wait_for(reader.read(4096), 5.0)).endswith(b"0")
    refused, _took_s = await say(port)
    assert refused.startswith(b"HTTP/1.1 503")
    assert b"too many connections" in refused
    opened[0][1].close()

    async def there_is_room() -> bool:
        return (await say(port, POST + b"abcdef"))[0].endswith(b"6")

    await eventually(there_is_room)
    for _reader, writer in opened:
        writer.close()
