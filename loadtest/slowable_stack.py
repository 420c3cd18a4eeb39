"""The stack of `rankgr up`, with a slow proxy in front of its cache or its event stream.

`loadtest.run` starts it for the scenario slow-dependency; everything else is as in services.local.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from loadtest.ports import wait_for_port
from services.local.embedded_servers import EmbeddedServers, embedded_servers
from services.local.logs import log_quietly
from services.local.stack import run_stack
from services.local.until_stopped import until_stopped
from services.runtime.clock import SystemClock
from services.runtime.die_with_parent import die_with_parent
from services.runtime.embedded_redis import LOOPBACK, free_port


class Slow(StrEnum):
    """Which server is slowed."""

    CACHE = "cache"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class ServersBehind(EmbeddedServers):
    """The same servers, one of them reached through the proxy at `url`."""

    slow: Slow
    url: str

    def told(self) -> dict[str, str]:
        """Environment variables that point a process at them."""
        variable = {Slow.CACHE: "RANKGR_REDIS_URL", Slow.STREAM: "RANKGR_STREAM_REDIS_URL"}[self.slow]
        return EmbeddedServers.told(self) | {variable: self.url}

    def given(self) -> dict[str, object]:
        """The same as fields of settings."""
        field = {Slow.CACHE: "redis_url", Slow.STREAM: "stream_redis_url"}[self.slow]
        return EmbeddedServers.given(self) | {field: self.url}


@contextmanager
def servers_behind_proxy(state: Path, slow: Slow, control: int) -> Iterator[ServersBehind]:
    """Servers and proxy run inside the block."""
    with embedded_servers(state) as servers:
        server = {Slow.CACHE: servers.cache, Slow.STREAM: servers.stream}[slow].server
        listen = free_port()
        command = [sys.executable, "-m", "loadtest.slow_proxy", "--listen", str(listen), "--control", str(control)]
        proxy = subprocess.Popen(
            [*command, "--to", f"{LOOPBACK}:{server.port}"],
            stdin=subprocess.DEVNULL,
            # Ctrl-C reaches the whole group: the proxy must outlive what drains through it.
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        try:
            wait_for_port(control, proxy)
            as_they_are = {one.name: getattr(servers, one.name) for one in fields(servers)}
            yield ServersBehind(**as_they_are, slow=slow, url=f"redis://{LOOPBACK}:{listen}/0")
        finally:
            proxy.terminate()
            proxy.wait()


def main(
    bundle: Annotated[Path, typer.Option(help="The bundle to serve.")],
    state: Annotated[Path, typer.Option(help="Where cache and stream have their files.")],
    control: Annotated[int, typer.Option(help="The port on which the proxy takes delays.")],
    slow: Annotated[Slow, typer.Option(help="Which server is behind the proxy.")] = Slow.CACHE,
) -> None:
    """Serve until told to stop."""
    log_quietly("warning")
    with servers_behind_proxy(state / "servers", slow, control) as servers:
        asyncio.run(_serve(bundle, servers))


async def _serve(bundle: Path, servers: EmbeddedServers) -> None:
    async with run_stack(bundle, servers, SystemClock(), typer.echo) as stack:
        await until_stopped(stack)


if __name__ == "__main__":
    typer.run(main)
