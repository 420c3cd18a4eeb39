"""Answers that go out whole, on a real server over real sockets: the same bytes as ASGI's two messages give."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from services.runtime.bounded_protocol import BoundedProtocol
from services.runtime.embedded_redis import free_port
from services.runtime.whole_answer import whole_of

LARGE = 4_000_000


@dataclass(slots=True)
class Answering:
    """`/whole...` goes out whole where that is taken, all else in two messages; `taken` says which were."""

    taken: list[tuple[str, bool]] = field(default_factory=list)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        body = path.encode() if "large" not in path else bytes(LARGE)
        value = b"a\r\nx-injected: b" if "broken" in path else b"plain"
        headers = [(b"x-value", value), (b"content-length", b"%d" % len(body))]
        if path.startswith("/whole"):
            whole = whole_of(scope)
            assert whole is not None
            self.taken.append((path, whole(200, headers, body)))
            if self.taken[-1][1]:
                return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True, slots=True)
class Serving:
    app: Answering
    server: uvicorn.Server
    port: int


@pytest.fixture
async def serving(eventually: Callable[..., Awaitable[None]]) -> AsyncIterator[Serving]:
    app, found = Answering(), free_port()
    config = uvicorn.Config(
        app,
        port=found,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=1,
        date_header=False,
    )
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server._serve())

    async def started() -> bool:
        return server.started

    await eventually(started)
    yield Serving(app, server, found)
    server.should_exit = True
    await running


async def asked(port: int, *requests: bytes) -> bytes:
    """All that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(requests))
    answer = await asyncio.wait_for(reader.read(), 10.0)
    writer.close()
    return answer


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    lines = (f"GET {path} HTTP/{version}", "host: x", *headers, "", "")
    return "\r\n".join(lines).encode()


LAST = get("/last", "connection: close")


async def test_it_is_what_two_messages_would_have_been(serving: Serving) -> None:
    whole, two, _last = (await asked(serving.port, get("/whole"), get("/twice"), LAST)).split(b"HTTP/1.1 200 OK")[1:]
    assert serving.app.taken == [("/whole", True)]
    assert whole.replace(b"/whole", b"/twice") == two


async def test_requests_that_stand_in_a_row_are_answered_in_their_order(serving: Serving) -> None:
    paths = [f"/whole/{number}" if number % 3 else f"/other/{number}" for number in range(50)]
    answer = await asked(serving.port, *map(get, paths), LAST)
    assert [part.rpartition(b"\r\n")[2].decode() for part in answer.split(b"HTTP/1.1 200 OK")[1:]] == [*paths, "/last"]


@pytest.mark.parametrize(
    "request_",
    [get("/whole", "connection: close"), get("/whole", version="1.0")],
    ids=["the caller closes", "an old caller"],
)
async def test_a_last_answer_is_left_to_uvicorn_which_closes(serving: Serving, request_: bytes) -> None:
    answer = await asked(serving.port, request_)
    assert serving.app.taken == [("/whole", False)]
    assert answer.endswith(b"/whole")
    assert b"connection: close" in answer


async def test_while_callers_are_sent_away_it_is_not_taken(serving: Serving) -> None:
    serving.server.config.encoded_headers.append((b"connection", b"close"))
    serving.server.server_state.default_headers.append((b"connection", b"close"))
    assert b"connection: close" in await asked(serving.port, get("/whole"))
    assert serving.app.taken == [("/whole", False)]


async def test_a_caller_that_reads_slowly_gets_everything(serving: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port, limit=2**16)
    writer.write(get("/whole/large") * 4 + LAST)
    answer = bytearray()
    while part := await reader.read(50_000):
        answer += part
        await asyncio.sleep(0)
    writer.close()
    assert len(answer) > 4 * LARGE
    assert answer.count(b"HTTP/1.1 200 OK") == 5
    assert answer.endswith(b"/last")


async def test_a_header_cannot_smuggle_in_another(serving: Serving) -> None:
    answer = await asked(serving.port, get("/whole/broken"))
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"x-injected" not in answer


async def test_a_connection_that_is_kept_is_closed_when_it_has_been_idle_and_not_while_it_is_used(
    serving: Serving,
) -> None:
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    began_s = loop.time()
    while loop.time() - began_s < 1.6:
        writer.write(get("/whole"))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(6) == b"/whole"
        await asyncio.sleep(0.2)
    used_until_s = loop.time()
    assert await asyncio.wait_for(reader.read(), 5.0) == b""
    assert loop.time() - used_until_s > 0.5
    writer.close()
