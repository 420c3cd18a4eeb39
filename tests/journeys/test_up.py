"""`rankgr up`, as somebody uses it who has just cloned the repository: one command, then HTTP."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from .conftest import Start
from .processes import PROCESSES, Started, any_ports, descendants, is_alive
from .shop import Shop, items_of

pytestmark = [pytest.mark.journey, pytest.mark.redis]

Eventually = Callable[..., Awaitable[None]]
START_WITHIN_S = 180.0


async def running(up: Started, eventually: Eventually) -> dict[str, str]:
    """Where a just started `rankgr up` answers, as soon as it does."""

    async def serving() -> bool:
        return up.is_up()

    await eventually(serving, within_s=START_WITHIN_S)
    return up.urls()


async def test_from_a_trigger_to_a_paged_list_and_to_ctrl_c(
    start: Start, client: httpx.AsyncClient, eventually: Eventually, micro_bundle: Path, tmp_path: Path
) -> None:
    up = start(any_ports(), "up", "--bundle", micro_bundle, "--state", tmp_path / "state")
    shop = Shop(client, await running(up, eventually))
    assert set(shop.urls) == set(PROCESSES)
    for name in PROCESSES:
        assert await shop.is_ready(name)
    items = items_of(micro_bundle)

    await shop.trigger("ann", "r-1", items[:5])
    assert await shop.gets_fresh("ann", "r-1")

    await shop.click("bob", items[5:9])

    async def bob_s_history_is_known() -> bool:
        await shop.trigger("bob", f"r-{os.urandom(4).hex()}")
        return await shop.has_fresh("bob")

    await eventually(bob_s_history_is_known, within_s=20.0)

    stranger = await shop.retrieve("nobody", limit=3)
    assert (stranger["outcome"], stranger["request_id"], len(stranger["items"])) == ("fallback", None, 3)

    whole = [item["item_id"] for item in (await shop.retrieve("ann", limit=1400))["items"]]
    assert len(whole) > 20
    assert await shop.pages("ann", limit=7) == whole
    assert len(set(whole)) == len(whole)

    below = descendants(up.process.pid)
    assert sum("services.cli serve" in command for command in below.values()) == 5
    assert up.end(signal.SIGINT) == 0
    assert [pid for pid in below if is_alive(pid)] == []
    assert up.complaints() == []


@pytest.mark.heavy
async def test_a_child_that_is_killed_is_started_again(
    start: Start, client: httpx.AsyncClient, eventually: Eventually, micro_bundle: Path, tmp_path: Path
) -> None:
    up = start(any_ports(), "up", "--bundle", micro_bundle, "--state", tmp_path / "state")
    shop = Shop(client, await running(up, eventually))

    def retrieval() -> list[int]:
        return [pid for pid, command in descendants(up.process.pid).items() if "serve retrieval" in command]

    [killed] = retrieval()
    os.kill(killed, signal.SIGKILL)

    async def another_one_answers() -> bool:
        return retrieval() not in ([], [killed]) and await shop.is_ready("retrieval")

    await eventually(another_one_answers, within_s=30.0)
    assert (await shop.retrieve("nobody"))["outcome"] == "fallback"
    assert up.complaints() == ["rankgr: retrieval ended (exit -9), starting it again"]
    below = descendants(up.process.pid)
    assert up.end(signal.SIGTERM) == 0
    assert [pid for pid in below if is_alive(pid)] == []
