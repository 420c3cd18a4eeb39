"""The use case behind `rankgr up`: servers, stack, and nothing else until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from services.local.embedded_servers import EmbeddedServers, embedded_servers
from services.local.stack import run_stack
from services.local.until_stopped import until_stopped
from services.runtime.clock import SystemClock


def run_up(bundle: Path, state: Path, say: Callable[[str], None], started: Callable[[dict[str, str]], None]) -> None:
    """Serve `bundle` until Ctrl-C or SIGTERM; `started` is told where each process answers."""
    with embedded_servers(state / "servers") as servers:
        asyncio.run(_serve(bundle, servers, say, started))


async def _serve(
    bundle: Path,
    servers: EmbeddedServers,
    say: Callable[[str], None],
    started: Callable[[dict[str, str]], None],
) -> None:
    async with run_stack(bundle, servers, SystemClock(), say) as stack:
        started(stack.urls)
        await until_stopped(stack)
