"""`vllm` and `vllm_logits_processor`: our forms on vLLM, through the port that the engine knows them by."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from contracts.errors import RankGRError
from model.bundle.read import read_bundle
from model.decoding.request import DecodeRequest, DecodeResult
from services.bench.engine.host import Decoded
from services.bench.engine.hosts.torch_host import CACHE_BYTES, decoded_of, requests_of
from services.bench.engine.machine import vllm_version
from services.bench.engine.messages import Ask, Start
from services.engine.vllm_host.beam_by_beam import BeamByBeam
from services.engine.vllm_host.host import Search, VllmHost
from services.engine.vllm_host.options import VllmOptions
from services.engine.vllm_host.pooled import PooledSearch
from services.runtime.clock import SystemClock

# As many users in one step as ever come at once, so that vLLM's scheduler decides nothing that the torch host need not.
MOST = 32
PATIENCE_MS = 600_000


class VllmBench:
    """One engine, and the event loop that it lives in; the loop runs while users are decoded."""

    def __init__(self, start: Start) -> None:
        bundle = read_bundle(start.bundle)
        options = VllmOptions(
            bundle=start.bundle,
            config=bundle.config,
            most=MOST,
            waiting=MOST,
            threads=start.threads,
            cache_bytes=CACHE_BYTES,
            dtype=start.dtype,
            compiled=start.compile,
        )
        search: Search = PooledSearch()
        if start.host == "vllm_logits_processor":
            search = BeamByBeam(bundle.config, bundle.catalog, bundle.neighbours)
        self._host = VllmHost(options, search, SystemClock(), _nobody_counts)
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._host.start())
        self._threads = start.threads

    def about(self) -> dict[str, str]:
        """Versions and settings."""
        return {"vllm": vllm_version(), "torch": version("torch"), "threads": str(self._threads)}

    def decode(self, asked: Ask) -> Decoded:
        """All users at once, each a request of its own."""
        return decoded_of(self._loop.run_until_complete(self._all(requests_of(asked))))

    async def _all(self, requests: list[DecodeRequest]) -> list[DecodeResult | RankGRError]:
        decoded = await asyncio.gather(*(self._host.decode(request, PATIENCE_MS) for request in requests))
        return [one.result for one in decoded]


def _nobody_counts(_users: int) -> None:
    """Batches are counted by the engine's metrics alone."""
