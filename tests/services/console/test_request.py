"""The page Request over HTTP: a trigger's life, its list, why it is in this order, and that actions move it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from .world import World, events, running

pytestmark = pytest.mark.redis

Eventually = Callable[..., Awaitable[None]]
STAGES = {"stream", "prompt", "engine", "queue", "prefill", "level1", "level2", "expand", "store"}


@pytest.fixture
async def world(micro_bundle: Path, redis_url: str) -> AsyncIterator[World]:
    async with running(micro_bundle, redis_url) as one:
        yield one


@pytest.fixture
def items(micro_bundle: Path) -> list[int]:
    ids: list[int] = pq.read_table(micro_bundle / "catalog.parquet", columns=["item_id"])["item_id"].to_pylist()
    return ids


async def test_a_request_s_life_is_told_from_its_stages_to_the_scores_of_its_list(
    world: World, items: list[int]
) -> None:
    told = await world.whole_life("ann", await world.trigger("ann", *items[:5]))
    assert set(told["computed"]["stages_ms"]) == STAGES
    page = told["retrieved"]
    assert page["outcome"] == "fresh"
    assert page["asked_ms"] >= 90
    assert all(one["title"] and one["item_id"] == str(int(one["item_id"])) for one in page["items"])
    why = told["explained"]
    # The engine was asked the very prompt that precompute had built: the same items, the same scores.
    assert [one["item_id"] for one in why["items"]] == [one["item_id"] for one in page["items"]]
    assert [one["score"] for one in why["items"]] == pytest.approx([one["score"] for one in page["items"]], abs=1e-5)
    assert [one["rank"] for one in why["items"]] == list(range(1, len(why["items"]) + 1))
    assert all(len(one["levels"]) == len(one["sid"]) == 2 for one in why["items"])


async def test_without_rsp_items_stand_in_the_order_of_log_p_alone(world: World, items: list[int]) -> None:
    why = (await world.whole_life("ann", await world.trigger("ann", *items[:5])))["explained"]
    alone = [sum(iap for iap, _rsp in one["levels"]) for one in why["without_rsp"]]
    assert alone == sorted(alone, reverse=True)
    assert [one["score"] for one in why["without_rsp"]] == pytest.approx(alone, abs=1e-3)
    ranks = {one["item_id"]: rank for rank, one in enumerate(why["without_rsp"], start=1)}
    assert all(one["rank_without_rsp"] == ranks[one["item_id"]] for one in why["items"] if one["item_id"] in ranks)


async def test_what_is_done_on_the_page_enters_the_history_with_its_title_and_moves_the_list(
    world: World, items: list[int], eventually: Eventually
) -> None:
    first = (await world.whole_life("ann", await world.trigger("ann", *items[:5])))["retrieved"]
    chosen = first["items"][-1]["item_id"]
    body = {"user_id": "ann", "item_id": chosen, "behavior": "purchase", "request_id": first["request_id"]}
    told = await world.client.post("/api/interactions", json=body)
    assert told.status_code == 202

    async def is_known() -> bool:
        newest = (await world.get("/api/history", user_id="ann"))["items"][0]
        return (newest["item_id"], newest["behavior"], newest["timestamp"]) == (
            chosen,
            "purchase",
            told.json()["timestamp"],
        )

    await eventually(is_known, within_s=10.0)
    past = await world.get("/api/history", user_id="ann")
    assert past["events"] == 6
    assert all(one["title"] for one in past["items"])
    again = (await world.whole_life("ann", await world.trigger("ann")))["retrieved"]
    assert again["outcome"] == "fresh"
    assert [one["score"] for one in again["items"]] != [one["score"] for one in first["items"]]


async def test_a_user_of_whom_nothing_is_known_gets_the_popular_list_and_no_scores(world: World) -> None:
    accepted = await world.trigger("new")
    seen = []
    async for name, told in events(world.client, "/api/life", {"user_id": "new", "limit": 5, **accepted}):
        seen.append(name)
        if name == "retrieved":
            assert told["outcome"] == "fallback"
            assert [one["score"] for one in told["items"]] == [None] * 5
            # Nothing will be computed for it: nobody needs to wait for that.
            break
    assert seen == ["retrieved"]


async def test_an_example_s_past_is_shown_before_and_told_with_its_first_trigger(
    micro_bundle: Path, redis_url: str, items: list[int], tmp_path: Path
) -> None:
    file = tmp_path / "examples.json"
    recent = [{"item_id": items[3], "behavior": "click", "timestamp": 7}]
    file.write_text(json.dumps({"users": [{"user_id": "eve", "recent": recent}]}))
    async with running(micro_bundle, redis_url, {"examples": file}) as world:
        assert (await world.get("/api/session"))["examples"] == ["eve"]
        before = await world.get("/api/history", user_id="eve")
        assert [one["item_id"] for one in before["items"]] == [str(items[3])]
        assert (await world.whole_life("eve", await world.trigger("eve")))["retrieved"]["outcome"] == "fresh"
        assert await world.get("/api/history", user_id="eve") == before


async def test_with_everything_down_each_part_says_so_in_one_line(micro_bundle: Path) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    async with running(micro_bundle, nowhere, names=("console",)) as world:
        session = await world.get("/api/session")
        assert session["scenes"] == ["cart", "home", "search"]
        for answer in (
            await world.client.get("/api/history", params={"user_id": "ann"}),
            await world.client.post("/api/triggers", json={"user_id": "ann"}),
            await world.client.get("/api/hidden"),
            await world.client.get("/api/dead-letters"),
        ):
            assert answer.status_code == 503
            assert "\n" not in answer.json()["detail"]
        told = await world.life("ann", {"request_id": "r", "accepted_at": 1})
        assert told["not_seen"]["part"] in ("computed", "retrieved")
        [now] = [told async for name, told in _first(world.client)]
        assert [one["ready"] for one in now["processes"]] == [False] * 5
        assert all(one["why"] for one in now["processes"])
        assert (await world.get("/readyz"))["status"] == "ready"


async def _first(client: httpx.AsyncClient) -> AsyncIterator[tuple[str, Any]]:
    async for name, told in events(client, "/api/system/live"):
        yield name, told
        return


async def test_a_view_that_is_open_ends_with_the_process(micro_bundle: Path, redis_url: str) -> None:
    began: asyncio.Event = asyncio.Event()

    async def watch(client: httpx.AsyncClient) -> list[str]:
        names = []
        async for name, _told in events(client, "/api/system/live"):
            names.append(name)
            began.set()
        return names

    async with running(micro_bundle, redis_url, names=("console",)) as world:
        watching = asyncio.create_task(watch(httpx.AsyncClient(base_url=world.urls["console"], timeout=20.0)))
        await began.wait()
    assert (await watching)[-1] == "end"


async def test_only_so_many_views_are_open_at_once(micro_bundle: Path, redis_url: str, eventually: Eventually) -> None:
    async with running(micro_bundle, redis_url, {"views": 1}, names=("console",)) as world:
        async with world.client.stream("GET", "/api/system/live") as first:
            assert first.status_code == 200
            refused = await world.client.get("/api/system/live")
            assert (refused.status_code, refused.json()["error"]) == (429, "Overloaded")
            assert refused.headers["retry-after"]

        async def there_is_room() -> bool:
            async with world.client.stream("GET", "/api/system/live") as next_one:
                return next_one.status_code == 200

        await eventually(there_is_room)


WRONG: list[tuple[str, dict[str, object], str]] = [
    ("/api/triggers", {"user_id": ""}, "user_id"),
    ("/api/triggers", {"user_id": "ann", "recent": [{"item_id": "x"}]}, "recent[0].item_id"),
    ("/api/interactions", {"user_id": "ann", "item_id": "9" * 30, "behavior": "click"}, "item_id"),
    ("/api/interactions", {"user_id": "ann", "item_id": "7", "behavior": "pseudo_exposure"}, "behavior"),
    ("/api/bundles/promote", {"version": "../etc"}, "version"),
    ("/api/hidden/change", {"hide": ["1.5"]}, "hide[0]"),
]


async def test_what_is_wrong_is_named(micro_bundle: Path, redis_url: str) -> None:
    async with running(micro_bundle, redis_url, names=("console",)) as world:
        for path, body, field in WRONG:
            answer = await world.client.post(path, json=body)
            assert answer.status_code == 422
            assert answer.json()["detail"].startswith(f"{field}: ")
