"""From a trigger to a retrieved page: every process as its main wires it, on a real server, in one loop."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from contracts.manifest import MANIFEST_FILE, POPULAR_FILE, PopularList
from model.bundle.prompt_side import PromptSide
from model.bundle.read import Bundle
from services.engine import main as engine_main
from services.engine.settings import EngineSettings
from services.gateways.inference.in_process import InProcessInferenceEngine
from services.history import main as history_main
from services.history.settings import HistorySettings
from services.precompute import main as precompute_main
from services.precompute.settings import PrecomputeSettings
from services.retrieval import main as retrieval_main
from services.retrieval.settings import RetrievalSettings
from services.trigger import main as trigger_main
from services.trigger.settings import TriggerSettings

from .small_bundle import bundle_of

pytestmark = pytest.mark.redis

NOWHERE = "redis://127.0.0.1:1/0"
TIME = 1_763_769_600_000


def tiny_bundle(directory: Path) -> Bundle:
    """Random weights over twenty items; on disk lies only what retrieval reads."""
    popular = PopularList(default=(103, 101, 102), scenes={"home": (101,)})
    text = popular.model_dump_json()
    made = bundle_of(20)
    files = {POPULAR_FILE: hashlib.sha256(text.encode()).hexdigest()}
    manifest = made.manifest.model_copy(update={"files": files})
    (directory / POPULAR_FILE).write_text(text)
    (directory / MANIFEST_FILE).write_text(manifest.model_dump_json())
    return replace(made, path=directory, manifest=manifest, popular=popular)


class Stack:
    """The five processes, started, and a client for each of their apps."""

    def __init__(self, bundle: Bundle, redis_url: str) -> None:
        where = bundle.path
        self.engine = engine_main.create(EngineSettings(bundle=where, max_wait_ms=0), bundle)
        side = PromptSide(bundle.manifest, bundle.prompt_format, bundle.catalog)
        near = InProcessInferenceEngine(self.engine.recommend.answer, self.engine.recommend.ready)
        self.apps: dict[str, FastAPI] = {
            "engine": self.engine.app,
            "precompute": precompute_main.create(
                PrecomputeSettings(bundle=where, redis_url=redis_url), side=side, engine=near
            ),
            "history": history_main.create(HistorySettings(redis_url=redis_url)),
            "trigger": trigger_main.create(TriggerSettings(redis_url=redis_url)),
            "retrieval": retrieval_main.create(
                RetrievalSettings(bundle=where, redis_url=redis_url, store_timeout_ms=1000)
            ),
        }
        self.clients: dict[str, httpx.AsyncClient] = {}

    async def start(self, until: AsyncExitStack) -> None:
        for name, app in self.apps.items():
            await until.enter_async_context(app.router.lifespan_context(app))
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{name}")
            self.clients[name] = await until.enter_async_context(client)


@pytest.fixture
async def stack(tmp_path: Path, redis_url: str) -> AsyncIterator[Stack]:
    made = Stack(tiny_bundle(tmp_path), redis_url)
    async with AsyncExitStack() as until:
        await made.start(until)
        yield made


async def test_every_process_is_ready_and_counts(stack: Stack) -> None:
    for name, client in stack.clients.items():
        ready = await client.get("/readyz")
        assert ready.status_code == 200, f"{name}: {ready.text}"
        assert "rankgr_http_requests_total" in (await client.get("/metrics")).text


async def test_a_trigger_becomes_a_fresh_list_that_a_waiting_retrieve_gets(stack: Stack) -> None:
    recent = [{"item_id": 105, "behavior": "click", "timestamp": TIME}]
    trigger = {"user_id": "a/b", "request_id": "r-1", "scene": "home", "recent": recent}
    assert (await stack.clients["trigger"].post("/trigger", json=trigger)).status_code == 202
    retrieve = stack.clients["retrieval"]
    answer = (await retrieve.get("/retrieve/a%2Fb?limit=7&request_id=r-1&wait_ms=5000")).json()
    assert (answer["outcome"], answer["request_id"], answer["model_version"]) == ("fresh", "r-1", "m1")
    assert len(answer["items"]) == 7
    rest = (await retrieve.get(f"/retrieve/a%2Fb?limit=1000&cursor={answer['next_cursor']}")).json()
    items = [item["item_id"] for item in answer["items"] + rest["items"]]
    assert len(set(items)) == len(items)
    assert set(items) <= set(range(100, 120))
    assert rest["next_cursor"] is None


async def test_a_user_with_nothing_known_gets_the_popular_list_at_once(stack: Stack) -> None:
    assert (await stack.clients["trigger"].post("/trigger", json={"user_id": "new", "request_id": "r"})).is_success
    answer = (await stack.clients["retrieval"].get("/retrieve/new?request_id=r&wait_ms=5000&scene=home")).json()
    assert (answer["outcome"], [item["item_id"] for item in answer["items"]]) == ("fallback", [101])


async def test_what_interactions_told_enters_the_next_prompt(stack: Stack) -> None:
    event = {"user_id": "42", "item_id": 107, "behavior": "purchase", "timestamp": TIME}
    told = await stack.clients["trigger"].post("/interactions", json={"events": [event]})
    assert told.json() == {"accepted": 1}
    # History consumes beside us: the user has a list as soon as a trigger finds the interaction there.
    for attempt in range(50):
        await stack.clients["trigger"].post("/trigger", json={"user_id": "42", "request_id": f"r-{attempt}"})
        query = f"/retrieve/42?request_id=r-{attempt}&wait_ms=5000"
        answer = (await stack.clients["retrieval"].get(query)).json()
        if answer["outcome"] == "fresh":
            break
    assert answer["outcome"] == "fresh"


async def test_without_the_server_retrieve_falls_back_and_trigger_refuses(tmp_path: Path) -> None:
    stack = Stack(tiny_bundle(tmp_path), NOWHERE)
    async with AsyncExitStack() as until:
        await stack.start(until)
        answer = await stack.clients["retrieval"].get("/retrieve/42?wait_ms=5000&request_id=r")
        assert (answer.status_code, answer.json()["outcome"]) == (200, "fallback")
        refused = await stack.clients["trigger"].post("/trigger", json={"user_id": "42"})
        assert (refused.status_code, refused.json()["error"]) == (503, "StreamDown")
        for name in ("trigger", "retrieval", "history", "precompute"):
            assert (await stack.clients[name].get("/readyz")).status_code == 503
        assert (await stack.clients["engine"].get("/readyz")).status_code == 200
