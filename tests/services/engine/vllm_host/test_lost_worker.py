"""When vLLM's process dies, everybody is told, nobody hangs, and the host says that it is lost."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from contracts.errors import EngineDown
from model.decoding.request import DecodeRequest
from services.engine.vllm_host.host import VllmHost
from services.engine.vllm_host.pooled import PooledSearch

from .bundles import Recipe, prompt
from .hosts import PLENTY_MS, STARTS_VLLM, options_for, started

pytestmark = STARTS_VLLM


def is_lost(host: VllmHost) -> bool:
    return not host.running


async def test_a_worker_that_dies_fails_its_requests_and_the_host_is_lost(tmp_path: Path) -> None:
    bundle = Recipe().write(tmp_path / "bundle")
    before = set(multiprocessing.active_children())
    async with started(options_for(bundle), PooledSearch()) as host:
        await host.decode(DecodeRequest(prompt(bundle, 40, 0)), PLENTY_MS)
        (worker,) = set(multiprocessing.active_children()) - before
        assert worker.pid is not None
        # Halted first, so that requests are on their way when it dies.
        os.kill(worker.pid, signal.SIGSTOP)
        asked = [
            asyncio.create_task(host.decode(DecodeRequest(prompt(bundle, 40, seed)), PLENTY_MS)) for seed in range(3)
        ]
        await asyncio.sleep(0)
        os.kill(worker.pid, signal.SIGKILL)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [EngineDown] * 3
        with pytest.raises(EngineDown):
            await host.decode(DecodeRequest(prompt(bundle, 40, 1)), PLENTY_MS)
        assert is_lost(host)
    assert not (set(multiprocessing.active_children()) - before), "a process of vLLM's was left behind"


async def test_stopping_tells_who_still_waits_and_leaves_no_process(tmp_path: Path) -> None:
    bundle = Recipe().write(tmp_path / "bundle")
    before = set(multiprocessing.active_children())
    async with started(options_for(bundle), PooledSearch()) as host:
        asked = asyncio.create_task(host.decode(DecodeRequest(prompt(bundle, 400, 0)), PLENTY_MS))
        await asyncio.sleep(0)
        await host.stop()
        with pytest.raises(EngineDown):
            await asked
        assert is_lost(host)
    assert not (set(multiprocessing.active_children()) - before)
