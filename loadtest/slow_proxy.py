"""A TCP proxy whose answers can be delayed while it runs: what a slow network or a busy server looks like.

    python -m loadtest.slow_proxy --listen 6400 --to 127.0.0.1:6379 --control 6401

A line with a number of milliseconds on the control port sets the delay and is answered with the same line.
Delays shift answers, they do not narrow the pipe: what was in time is late by as much, and in its order.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated

import typer

from services.runtime.embedded_redis import LOOPBACK

CHUNK = 65536
# Of one connection, on its way: a client that does not read must not fill the memory.
CHUNKS_ON_THE_WAY = 256
LONGEST_DELAY_MS = 60_000


@dataclass(slots=True)
class SlowProxy:
    """Hands bytes on to `host`:`port`; those that come back are `delay_s` late."""

    host: str
    port: int
    delay_s: float = 0.0

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until either side closes."""
        try:
            to_server = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.close()
            return
        await _first_of(_copy(reader, to_server[1]), self._copy_late(to_server[0], writer))
        for one in (writer, to_server[1]):
            one.close()
            with contextlib.suppress(OSError):
                await one.wait_closed()

    async def take_delay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lines of the control port."""
        while line := await reader.readline():
            words = line.decode(errors="replace").strip()
            if words.isascii() and words.isdigit() and int(words) <= LONGEST_DELAY_MS:
                self.delay_s = int(words) / 1000
                writer.write(f"{int(words)}\n".encode())
            else:
                writer.write(f"not a delay: milliseconds, at most {LONGEST_DELAY_MS}\n".encode())
            await writer.drain()
        writer.close()

    async def _copy_late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_ON_THE_WAY)

        async def take() -> None:
            while chunk := await reader.read(CHUNK):
                await on_the_way.put((clock() + self.delay_s, chunk))
            await on_the_way.put((clock(), b""))

        async def give() -> None:
            while True:
                due, chunk = await on_the_way.get()
                await asyncio.sleep(max(0.0, due - clock()))
                if not chunk:
                    return
                writer.write(chunk)
                await writer.drain()

        taking = asyncio.ensure_future(take())
        try:
            await give()
        finally:
            taking.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()


async def _first_of(*ways: Coroutine[None, None, None]) -> None:
    """Until one ends or breaks: a lost connection is an end like any other."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(OSError):
            await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(proxy: SlowProxy, listen: int, control: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    served = await asyncio.start_server(proxy.connect, LOOPBACK, listen)
    controlled = await asyncio.start_server(proxy.take_delay, LOOPBACK, control)
    await stop.wait()
    served.close()
    controlled.close()


def main(
    listen: Annotated[int, typer.Option(help="The port that clients use, on loopback.")],
    to: Annotated[str, typer.Option(help="HOST:PORT of the server behind it.")],
    control: Annotated[int, typer.Option(help="The port that takes delays, on loopback.")],
) -> None:
    """Stand in front of a server until told to stop."""
    host, _, port = to.rpartition(":")
    if not host or not port.isdigit():
        raise typer.BadParameter("must be HOST:PORT", param_hint="--to")
    try:
        asyncio.run(_serve(SlowProxy(host, int(port)), listen, control))
    except OSError as error:
        typer.echo(f"slow proxy: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(main)
