"""The use case behind `rankgr up`: servers, stack, and nothing else until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from services.bundles.promote import PromoteBundle
from services.gateways.bundle_store.port import Channel, now_at
from services.local.bundle_store import open_store, who
from services.local.embedded_servers import EmbeddedServers, embedded_servers
from services.local.stack import run_stack
from services.local.until_stopped import until_stopped
from services.runtime.clock import SystemClock
from services.runtime.settings import BundleStoreSettings, read_settings

# Versions that a first promotion leaves: there is nothing to remove yet.
KEPT = 10


def run_up(
    bundle: Path,
    state: Path,
    say: Callable[[str], None],
    started: Callable[[dict[str, str]], None],
    *,
    learn: bool = False,
) -> None:
    """Serve `bundle` until Ctrl-C or SIGTERM; `started` is told where each process answers.

    learn: a trainer learns from what happens, and what it publishes is served.  Raises BundleStoreDown, BadBundle.
    """
    with embedded_servers(state / "servers") as servers:
        store = _store_with(bundle, state) if learn else ""
        asyncio.run(_serve(bundle, servers, say, started, store))


def _store_with(bundle: Path, state: Path) -> str:
    """The bundle store that the environment names, or one of the stack's own; what it serves stays, else `bundle`."""
    url = read_settings(BundleStoreSettings).bundle_store or str(state / "store")
    store = open_store(url)
    if now_at(store.moves(Channel.LATEST)) is None:
        PromoteBundle(store, SystemClock(), who(), KEPT)(bundle)
    return url


async def _serve(
    bundle: Path,
    servers: EmbeddedServers,
    say: Callable[[str], None],
    started: Callable[[dict[str, str]], None],
    store: str,
) -> None:
    async with run_stack(bundle, servers, SystemClock(), say, learns_in=store) as stack:
        started(stack.urls)
        await until_stopped(stack)
