"""Every panel's query and every rule, asked of a real Prometheus on a real stack that learns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from services.runtime.clock import SystemClock
from tests.deploy.monitoring import panel_queries

from .conftest import Start
from .hasty import HASTY
from .processes import Started, any_ports
from .prometheus import Prometheus, running
from .shop import Shop, items_of

Eventually = Callable[..., Awaitable[None]]
WITHIN_S = 240.0
# Queries that may have no answer on a healthy stack, and why.
MAY_BE_EMPTY = {
    "rankgr-request-path: Redis, A": "no connection to Redis failed",
    "rankgr-engine: Calls to each engine, A": "under `rankgr up` the engine is in precompute's process",
    "rankgr-engine: Late, busy, failed, A": "nothing was late, nothing refused",
    "rankgr-learning: Begun anew, nothing new, failures, 6 h, A": "training never went back",
}
# Rules that may record nothing, for the same reasons.
MAY_RECORD_NOTHING = {"rankgr:engine_refused:ratio_rate5m"}
# With micro models on a busy machine an alert about time may well be true; a broken rule is not.
HEALTHY = "ok"

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy]


async def page_views(shop: Shop, items: list[int], round_: int) -> None:
    """Some users come by: they trigger, get their lists, click, page on; a stranger gets what is popular."""
    now_ms = SystemClock().now_ms()
    for number in range(6):
        user, request = f"ann{number}", f"ann{number}-{round_}"
        await shop.trigger(user, request, items[number : number + 5])
        assert await shop.gets_fresh(user, request)
        page = await shop.retrieve(user, request_id=request, limit=5)
        shown = [item["item_id"] for item in page["items"]]
        done = [(shown[0], "exposure", now_ms), (shown[1], "exposure", now_ms), (shown[0], "click", now_ms + 1)]
        await shop.report(user, request, done)
    await shop.retrieve("stranger")


async def unanswered(prometheus: Prometheus) -> set[str]:
    """Queries of panels that have no data yet, of those that should."""
    asked = dict(panel_queries())
    assert set(MAY_BE_EMPTY) <= set(asked)
    return {place for place, query in asked.items() if not await prometheus.ask(query)} - set(MAY_BE_EMPTY)


async def test_every_query_is_answered_and_every_rule_works(
    start: Start, tmp_path: Path, eventually: Eventually, micro_bundle: Path, client: httpx.AsyncClient
) -> None:
    up: Started = start(any_ports() | HASTY, "up", "--learn", "--bundle", micro_bundle, "--state", tmp_path / "state")

    async def serving() -> bool:
        return up.is_up()

    await eventually(serving, WITHIN_S)
    urls, items, round_ = up.urls(), items_of(micro_bundle), 0
    shop = Shop(client, urls)
    with running(tmp_path / "prometheus", urls, client) as prometheus:
        await eventually(prometheus.is_ready, 60.0)
        missing: set[str] = set()

        async def all_answered() -> bool:
            nonlocal round_, missing
            round_ += 1
            await page_views(shop, items, round_)
            missing = await unanswered(prometheus)
            return round_ > 2 and not missing

        try:
            await eventually(all_answered, WITHIN_S)
        except AssertionError:
            pytest.fail(f"no data for {sorted(missing)}")
        rules = await prometheus.rules()
        assert [rule for rule in rules if rule["health"] != HEALTHY] == []
        recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
        silent = {name for name in recorded if not await prometheus.ask(name)}
        assert silent <= MAY_RECORD_NOTHING
        up_now = {row["metric"]["job"] for row in await prometheus.ask("up == 1")}
        assert up_now == {*urls}
    assert up.end() == 0
