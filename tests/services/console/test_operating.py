"""The page System over HTTP: how everything is, keys, and what an operator changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.messages import DeadLetter, Topic
from services.bundles.promote import PromoteBundle
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import Channel, now_at
from services.gateways.event_stream.in_redis import RedisEventStream
from services.runtime.auth import KeyId, Scope
from services.runtime.clock import SystemClock
from services.runtime.key_file import new_key
from tests.titled_bundle import with_title

from .world import World, events, running

pytestmark = pytest.mark.redis


async def system(world: World, is_so: Callable[[dict[str, Any]], bool] = lambda _now: True) -> dict[str, Any]:
    """The first look that finds it so: a busy machine may be late with an answer of a process."""
    async with asyncio.timeout(60):
        async for name, told in events(world.client, "/api/system/live"):
            assert name == "system"
            found: dict[str, Any] = told
            if is_so(found):
                return found
    raise AssertionError("the view ended")


def all_heard(now: dict[str, Any]) -> bool:
    return all(one["ready"] and one["release"] and one["no_metrics"] is None for one in now["processes"])


def key(file: Path, *scopes: Scope) -> dict[str, str]:
    name = KeyId("-".join(scopes).replace("-", ""))
    token = new_key(file, name, "secret", name="", scopes=scopes, now=datetime.now(UTC))[1]
    return {"authorization": f"Bearer {token}"}


async def test_every_process_is_seen_with_its_release_its_model_and_its_numbers(
    micro_bundle: Path, redis_url: str
) -> None:
    async with running(micro_bundle, redis_url) as world:
        assert (await world.whole_life("ann", await world.trigger("ann", 10_001)))["retrieved"]
        now = await system(world, lambda now: all_heard(now) and len(now["lags"]) == 2)
    seen = {one["name"]: one for one in now["processes"]}
    assert set(seen) == {"trigger", "retrieval", "engine", "history", "precompute"}
    assert seen["engine"]["bundle"]["model_version"] == seen["retrieval"]["bundle"]["model_version"]
    assert sum(now["answers"].values()) == 1
    assert sum(now["triggers"].values()) == 1
    assert {(one["topic"], one["reader"]) for one in now["lags"]} == {
        ("triggers", "precompute"),
        ("interactions", "history"),
    }


async def test_a_process_that_is_down_is_one_line_and_the_rest_goes_on(micro_bundle: Path, redis_url: str) -> None:
    async with running(micro_bundle, redis_url, names=("trigger", "history", "console")) as world:
        now = await system(world, lambda now: sum(one["ready"] for one in now["processes"]) == 2)
    seen = {one["name"]: one for one in now["processes"]}
    assert [name for name, one in seen.items() if one["ready"]] == ["trigger", "history"]
    assert "cannot be reached" in seen["engine"]["why"]
    assert now["answers"] is None


async def test_bundles_are_listed_promoted_and_rolled_back(micro_bundle: Path, redis_url: str, tmp_path: Path) -> None:
    store = open_bundle_store(str(tmp_path / "store"))
    promote = PromoteBundle(store, SystemClock(), "test", 10)
    first = promote(micro_bundle).bundle.version
    other = with_title(micro_bundle, tmp_path / "other", 10_001, "renamed")
    second = promote(other, Channel.CANARY).bundle.version
    told = {"bundle_store": str(tmp_path / "store")}
    async with running(micro_bundle, redis_url, told, names=("console",)) as world:
        found = await world.get("/api/bundles")
        assert {one["version"]: one["names"] for one in found["bundles"]} == {first: ["latest"], second: ["canary"]}
        moved = await world.client.post("/api/bundles/promote", json={"version": second})
        assert moved.json() == {"version": second, "moved": True}
        assert now_at(store.moves(Channel.LATEST)) == second
        again = await world.client.post("/api/bundles/promote", json={"version": second})
        assert again.json()["moved"] is False
        unknown = await world.client.post("/api/bundles/promote", json={"version": "deadbeef0000"})
        assert (unknown.status_code, unknown.json()["error"]) == (422, "NoSuchBundle")
        # What was confirmed is gone back to, whoever moved the channel while somebody read the question.
        later = promote(other, Channel.LATEST).bundle.version
        back = await world.client.post("/api/bundles/rollback", json={"to": first})
        assert back.json() == {"channel": "latest", "was": later, "version": first}
        withdrawn = await world.client.post("/api/bundles/rollback", json={"withdraw": True})
        assert withdrawn.json() == {"channel": "canary", "was": second, "version": None}
        newest = (await world.get("/api/bundles"))["moves"]
        assert {(one["channel"], one["kind"], one["by"]) for one in newest[:2]} == {
            ("canary", "withdraw", "console"),
            ("latest", "rollback", "console"),
        }


async def test_titles_follow_the_store(micro_bundle: Path, redis_url: str, tmp_path: Path) -> None:
    store = open_bundle_store(str(tmp_path / "store"))
    told = {"bundle_store": str(tmp_path / "store"), "bundle_poll_s": 0.05, "bundle": None}
    async with running(micro_bundle, redis_url, told, names=("console",)) as world:
        # A store that holds nothing yet costs titles, not the console.
        assert (await world.get("/api/session"))["no_catalog"]
        promoted = PromoteBundle(store, SystemClock(), "test", 10)(micro_bundle).bundle
        while (session := await world.get("/api/session"))["no_catalog"]:
            assert session["model_version"] is None
        assert session["catalog_version"] == promoted.manifest.catalog_version


async def test_dead_letters_are_shown_without_what_is_in_them_and_replayed_once(
    micro_bundle: Path, redis_url: str
) -> None:
    stream = RedisEventStream.connect(redis_url, SystemClock())
    letter = DeadLetter(
        topic=Topic.SAMPLES,
        group="trainer",
        key="ann",
        payload="secret",
        reason="BadMessage: no sample",
        attempts=3,
        buried_at=7,
    )
    await stream.publish(Topic.DEAD_LETTERS, "ann", letter.model_dump_json().encode())
    await stream.publish(Topic.DEAD_LETTERS, "ann", b"no letter")
    async with running(micro_bundle, redis_url, names=("console",)) as world:
        [shown] = (await world.get("/api/dead-letters"))["letters"]
        assert shown == {
            "topic": "samples",
            "group": "trainer",
            "user_id": "ann",
            "reason": "BadMessage: no sample",
            "attempts": 3,
            "buried_at": 7,
        }
        first = await world.client.post("/api/dead-letters/replay", json={})
        assert first.json() == {"replayed": 1, "passed_over": 1}
    assert await stream.newest(Topic.SAMPLES, 5) == [b"secret"]
    await stream.close()


async def test_items_are_hidden_and_shown(micro_bundle: Path, redis_url: str) -> None:
    async with running(micro_bundle, redis_url, names=("console",)) as world:
        changed = await world.client.post("/api/hidden/change", json={"hide": ["10001", "10002"]})
        assert changed.json() == {"hidden": 2}
        [shown, _] = (await world.get("/api/hidden"))["items"]
        assert shown["item_id"] == "10001"
        await world.client.post("/api/hidden/change", json={"show": ["10001"]})
        assert [one["item_id"] for one in (await world.get("/api/hidden"))["items"]] == ["10002"]


async def test_each_route_wants_its_scope_and_the_page_none(micro_bundle: Path, redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = {scope: key(file, scope) for scope in Scope}
    wanted = {
        "/api/session": set(Scope),
        "/api/history?user_id=ann": {Scope.RETRIEVE},
        "/api/bundles": {Scope.METRICS, Scope.ADMIN},
        "/api/dead-letters": {Scope.METRICS, Scope.ADMIN},
        "/api/hidden": {Scope.METRICS, Scope.ADMIN},
    }
    posts: dict[str, dict[str, object]] = {
        "/api/bundles/promote": {"version": "abcd"},
        "/api/bundles/rollback": {},
        "/api/dead-letters/replay": {},
        "/api/hidden/change": {},
    }
    async with running(micro_bundle, redis_url, {"api_keys_file": file}, names=("console",)) as world:
        for path in ("/", "/system", "/page/console.css", "/page/request.js", "/api/door", "/healthz", "/readyz"):
            assert (await world.client.get(path)).status_code == 200, path
        for path, scopes in wanted.items():
            assert (await world.client.get(path)).status_code == 401, path
            for scope, header in keys.items():
                status = (await world.client.get(path, headers=header)).status_code
                assert (status == 403) == (scope not in scopes), (path, scope)
        for path, body in posts.items():
            assert (await world.client.post(path, json=body)).status_code == 401
            for scope, header in keys.items():
                status = (await world.client.post(path, json=body, headers=header)).status_code
                assert (status == 403) == (scope is not Scope.ADMIN), (path, scope)
        assert (
            await world.client.post("/api/triggers", json={"user_id": "a"}, headers=keys[Scope.ADMIN])
        ).status_code == 403


async def test_behind_keys_the_console_shows_its_own_to_the_others(
    micro_bundle: Path, redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    visitor = key(file, Scope.TRIGGER, Scope.RETRIEVE, Scope.METRICS)
    own = key(file, Scope.TRIGGER, Scope.RETRIEVE, Scope.METRICS, Scope.ENGINE)["authorization"].removeprefix("Bearer ")
    told = {"api_keys_file": file, "api_key": own}
    async with running(micro_bundle, redis_url, told) as world:
        world.client.headers.update(visitor)
        await world.whole_life("ann", await world.trigger("ann", 10_001, 10_002))
        await system(world, all_heard)
    async with running(micro_bundle, redis_url, {"api_keys_file": file}) as world:
        world.client.headers.update(visitor)
        refused = await world.client.post("/api/triggers", json={"user_id": "ann"})
        assert refused.status_code == 503
        assert "RANKGR_API_KEY" in refused.json()["detail"]
