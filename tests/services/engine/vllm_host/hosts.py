"""Hosts that start vLLM for a test module.  A missing vLLM fails these tests, it skips none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from model.bundle.read import Bundle
from services.engine.vllm_host.host import Search, VllmHost
from services.engine.vllm_host.options import VllmOptions
from services.runtime.clock import SystemClock

PLENTY_MS = 120_000

# What importing vLLM warns of is not ours to mend.
STARTS_VLLM = [
    pytest.mark.vllm,
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def options_for(bundle: Bundle, *, most: int = 8, waiting: int = 64, step_tokens: int = 2048) -> VllmOptions:
    """One thread and a small cache: several test processes share the machine."""
    return VllmOptions(
        bundle=bundle.path,
        config=bundle.config,
        most=most,
        waiting=waiting,
        threads=1,
        step_tokens=step_tokens,
        cache_bytes=32 * 2**20,
    )


@asynccontextmanager
async def started(
    options: VllmOptions, search: Search, observe_batch: Callable[[int], None] = lambda _users: None
) -> AsyncIterator[VllmHost]:
    """A host that has started, stopped at the end."""
    host = VllmHost(options, search, SystemClock(), observe_batch)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()
