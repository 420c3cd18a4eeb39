"""The loop runs inside the block, ends with it, and readiness knows when it broke."""

from __future__ import annotations

import asyncio
import logging

import pytest

from contracts.errors import StreamDown
from services.runtime.consume_beside import ConsumeBeside


async def test_the_loop_runs_inside_the_block_and_finishes_what_it_began() -> None:
    began, finished = asyncio.Event(), asyncio.Event()

    async def loop(stop: asyncio.Event) -> None:
        began.set()
        await stop.wait()
        await asyncio.sleep(0)
        finished.set()

    beside = ConsumeBeside(loop)
    with pytest.raises(StreamDown):
        beside.check()
    async with beside.running():
        await began.wait()
        beside.check()
        assert not finished.is_set()
    assert finished.is_set()
    with pytest.raises(StreamDown):
        beside.check()


async def test_a_loop_that_breaks_is_logged_and_no_longer_ready(caplog: pytest.LogCaptureFixture) -> None:
    async def loop(_stop: asyncio.Event) -> None:
        raise RuntimeError("a bug")

    beside = ConsumeBeside(loop)
    with caplog.at_level(logging.ERROR):
        async with beside.running():
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            with pytest.raises(StreamDown):
                beside.check()
    assert "the consume loop broke" in caplog.text
