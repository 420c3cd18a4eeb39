"""The slow proxy on real sockets: bytes arrive whole and in order, late when told, and at once otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from loadtest.slow_proxy import SlowProxy

HOST = "127.0.0.1"
Echo = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(4096):
        writer.write(chunk)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[int]:
    """The port; in the end every connection has ended."""
    begun: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.append(asyncio.ensure_future(handle(reader, writer)))

    async with await asyncio.start_server(accept, HOST, 0) as server:
        yield int(server.sockets[0].getsockname()[1])
    await asyncio.wait_for(asyncio.gather(*begun), timeout=10)


@asynccontextmanager
async def behind_proxy() -> AsyncIterator[tuple[SlowProxy, int, int]]:
    """A proxy in front of an echo; its ports for clients and for control."""
    async with AsyncExitStack() as running:
        echo = await running.enter_async_context(serving(_echo))
        proxy = SlowProxy(HOST, echo)
        served = await running.enter_async_context(serving(proxy.connect))
        control = await running.enter_async_context(serving(proxy.take_delay))
        yield proxy, served, control


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Echo]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def test_everything_comes_back_whole_and_in_order() -> None:
    sent = bytes(range(256)) * 4000
    async with behind_proxy() as (_, port, _control), connected(port) as (reader, writer):
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent


async def test_an_answer_is_late_by_the_delay_and_answers_do_not_wait_for_each_other() -> None:
    clock = asyncio.get_running_loop().time
    async with behind_proxy() as (proxy, port, _control), connected(port) as (reader, writer):
        proxy.delay_s = 0.3
        began_s = clock()
        for _ in range(3):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)
        await reader.readexactly(3)
        # One after the other they would take three times as long.
        assert 0.3 <= clock() - began_s < 0.9


async def test_the_control_port_takes_milliseconds_and_nothing_else() -> None:
    async with behind_proxy() as (proxy, _port, control), connected(control) as (reader, writer):
        writer.write(b"250\n")
        assert await reader.readline() == b"250\n"
        assert proxy.delay_s == 0.25
        for wrong in (b"-1\n", b"fast\n", b"1.5\n", b"99999999\n", b"\xff\n"):
            writer.write(wrong)
            assert (await reader.readline()).startswith(b"not a delay")
        assert proxy.delay_s == 0.25


@pytest.mark.parametrize("end", ["client", "server"])
async def test_either_side_s_end_is_the_other_s(end: str) -> None:
    async with behind_proxy() as (proxy, port, _control), connected(port) as (reader, writer):
        if end == "server":
            writer.write_eof()
        else:
            proxy.port = 1
            async with connected(port) as (other, _):
                assert await other.read() == b""
            writer.write_eof()
        assert await reader.read() == b""
