"""The console on a real server, with the real processes that it asks, all in one loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from model.bundle.read import read_bundle
from services.console import main as console_main
from services.console.settings import ConsoleSettings
from services.engine import main as engine_main
from services.engine.settings import EngineSettings
from services.history import main as history_main
from services.history.settings import HistorySettings
from services.precompute import main as precompute_main
from services.precompute.settings import PrecomputeSettings
from services.retrieval import main as retrieval_main
from services.retrieval.settings import RetrievalSettings
from services.runtime.embedded_redis import free_port
from services.runtime.lifecycle import Site, serve
from services.trigger import main as trigger_main
from services.trigger.settings import TriggerSettings

NAMES = ("trigger", "history", "precompute", "engine", "retrieval", "console")
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class World:
    """Where everybody answers, and a client of the console."""

    urls: dict[str, str]
    client: httpx.AsyncClient

    async def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401 - JSON
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def trigger(self, user: str, *items: int) -> dict[str, Any]:
        """A request of a user who has just clicked these items."""
        recent = [
            {"item_id": str(item), "behavior": "click", "timestamp": 1_763_769_600_000 + 1000 * place}
            for place, item in enumerate(items)
        ]
        answer = await self.client.post("/api/triggers", json={"user_id": user, "scene": "home", "recent": recent})
        assert answer.status_code == 202, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def life(self, user: str, accepted: Mapping[str, Any], limit: int = 10) -> dict[str, Any]:
        """Everything that the console tells of a request, by event name."""
        query = {"user_id": user, "scene": "home", "limit": limit, **accepted}
        return dict([event async for event in events(self.client, "/api/life", query)])

    async def whole_life(self, user: str, accepted: Mapping[str, Any]) -> dict[str, Any]:
        """The same of a request of which all is told."""
        told = await self.life(user, accepted)
        assert set(told) == {"computed", "retrieved", "explained", "end"}, told.get("not_seen")
        return told


async def events(
    client: httpx.AsyncClient, path: str, query: Mapping[str, Any] | None = None
) -> AsyncIterator[tuple[str, Any]]:
    """Server-sent events as they come."""
    async with client.stream("GET", path, params=dict(query or {})) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


@asynccontextmanager
async def running(
    bundle: Path, redis_url: str, told: Mapping[str, Any] | None = None, names: tuple[str, ...] = NAMES
) -> AsyncIterator[World]:
    """These processes, up; `told`: further fields of the console's settings."""
    ports = {name: free_port() for name in NAMES}
    urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    sites = [Site(name, _app(name, bundle, redis_url, urls, told or {}), HOST, ports[name]) for name in names]
    stop, started = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(sites, stop=stop, started=started))
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    assert started.is_set(), serving.exception()
    try:
        async with httpx.AsyncClient(base_url=urls["console"], timeout=30.0, trust_env=False) as client:
            yield World(urls, client)
    finally:
        stop.set()
        await serving


def _app(name: str, bundle: Path, redis_url: str, urls: Mapping[str, str], told: Mapping[str, Any]) -> Any:  # noqa: ANN401 - each is an app
    keys = {"api_keys_file": told.get("api_keys_file"), "api_key": told.get("api_key")}
    match name:
        case "trigger":
            return trigger_main.create(_of(TriggerSettings, keys, redis_url=redis_url))
        case "history":
            return history_main.create(_of(HistorySettings, keys, redis_url=redis_url))
        case "retrieval":
            given = {"bundle": bundle, "redis_url": redis_url, "store_timeout_ms": 1000}
            return retrieval_main.create(_of(RetrievalSettings, keys, **given))
        case "engine":
            return engine_main.create(_of(EngineSettings, keys, bundle=bundle, max_wait_ms=0), read_bundle(bundle)).app
        case "precompute":
            given = {"bundle": bundle, "redis_url": redis_url, "engine_url": urls["engine"]}
            return precompute_main.create(_of(PrecomputeSettings, keys, **given))
        case _:
            others = ",".join(f"{one}={urls[one]}" for one in ("history", "precompute"))
            given = {
                "bundle": bundle,
                "redis_url": redis_url,
                "trigger_url": urls["trigger"],
                "retrieval_url": urls["retrieval"],
                "engine_url": urls["engine"],
                "processes": others,
                **told,
            }
            return console_main.create(_of(ConsoleSettings, {}, **given))


def _of(kind: Any, keys: Mapping[str, Any], **given: Any) -> Any:  # noqa: ANN401 - any settings class
    return kind(**given, **{name: value for name, value in keys.items() if name in kind.model_fields and value})
