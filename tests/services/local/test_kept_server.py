"""An embedded server that ends is started again where it was, with what it must keep; else the stack is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis

from contracts.errors import StoreDown
from services.local.kept_server import KeptServer
from services.runtime.embedded_redis import ServerOptions

pytestmark = pytest.mark.redis

Eventually = Callable[..., Awaitable[None]]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptServer]:
    made = KeptServer.start("stream", tmp_path, ServerOptions(append_only=True, fsync="always"))
    yield made
    made.stop()


async def test_a_killed_server_comes_back_on_its_port_with_its_data(kept: KeptServer, eventually: Eventually) -> None:
    url, said = kept.url, list[str]()
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    watching = asyncio.ensure_future(kept.watch(said.append))
    kept.server.kill()

    async def said_so() -> bool:
        return bool(said)

    await eventually(said_so, within_s=20.0)
    watching.cancel()
    assert said == ["the stream server ended (exit -9), starting it again"]
    assert kept.url == url
    with redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


async def test_a_server_that_cannot_come_back_is_an_error(kept: KeptServer) -> None:
    kept.server.kill()
    with socket.create_server(("127.0.0.1", kept.server.port)), pytest.raises(StoreDown, match="did not start"):
        await kept.watch(list[str]().append)
