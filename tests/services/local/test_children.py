"""A child that cannot live is given up after a few tries, in one line; one that lives ends when it is told to."""

from __future__ import annotations

import asyncio

import pytest

from contracts.errors import Unavailable
from services.local.children import Child
from services.local.readiness import wait_ready
from services.runtime.clock import SystemClock

pytestmark = pytest.mark.journey


async def test_a_child_that_ends_again_and_again_is_given_up(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    child = Child("trigger", {"RANKGR_TRIGGER_PORT": "none"}, SystemClock(), said.append)
    await child.start()
    with pytest.raises(Unavailable, match="trigger ended 3 times soon after its start"):
        await child.watch()
    assert said == ["trigger ended (exit 1), starting it again"] * 2
    assert "RANKGR_TRIGGER_PORT" in capfd.readouterr().err


async def test_a_child_that_is_stopped_drains_and_is_not_started_again(free_port: int) -> None:
    said: list[str] = []
    # Nothing listens there: history is alive and says so, but is not ready.
    told = {
        "RANKGR_HISTORY_PORT": str(free_port),
        "RANKGR_REDIS_URL": "redis://127.0.0.1:1/0",
        "RANKGR_HISTORY_LOG_LEVEL": "error",
    }
    child = Child("history", told, SystemClock(), said.append)
    await child.start()
    watching = asyncio.ensure_future(child.watch())
    with pytest.raises(Unavailable):
        await wait_ready({"history": f"http://127.0.0.1:{free_port}"}, 1.0)
    await child.stop()
    await watching
    assert said == []
