"""One request on a vLLM of its own: what the command line does with `--host vllm`."""

from __future__ import annotations

import asyncio

from model.bundle.read import Bundle
from model.decoding.request import DecodeRequest, DecodeResult
from services.engine.vllm_host.host import VllmHost
from services.engine.vllm_host.options import VllmOptions
from services.engine.vllm_host.pooled import PooledSearch
from services.runtime.clock import SystemClock

# Longer than any search takes.
PATIENCE_MS = 600_000


def decode_once(bundle: Bundle, request: DecodeRequest) -> DecodeResult:
    """Start vLLM, ask it once, end it.  Raises BadBundle, EngineDown, or what the request deserves."""
    return asyncio.run(_decode(bundle, request))


async def _decode(bundle: Bundle, request: DecodeRequest) -> DecodeResult:
    options = VllmOptions(bundle=bundle.path, config=bundle.config, most=1, waiting=1, cache_bytes=0)
    host = VllmHost(options, PooledSearch(), SystemClock(), lambda _users: None)
    await host.start()
    try:
        return (await host.decode(request, PATIENCE_MS)).result
    finally:
        await host.stop()
