"""The gate in front of every route, and that every process of the stack has one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry

from services.engine.main import create as create_engine
from services.engine.settings import EngineSettings
from services.history.main import create as create_history
from services.history.settings import HistorySettings
from services.precompute.main import create as create_precompute
from services.precompute.settings import PrecomputeSettings
from services.retrieval.main import create as create_retrieval
from services.retrieval.settings import RetrievalSettings
from services.runtime.auth import KeyId, Scope
from services.runtime.gate import CALLER, Door
from services.runtime.http import create_app
from services.runtime.key_file import access_by, new_key
from services.trigger.main import create as create_trigger
from services.trigger.settings import TriggerSettings


async def ready() -> None:
    """Always."""


@pytest.fixture
def keys(tmp_path: Path) -> dict[Scope, str]:
    """A key per scope in `tmp_path/keys.json`."""
    path, now = tmp_path / "keys.json", datetime.now(UTC)
    return {
        scope: new_key(path, KeyId(f"id{scope}"), "secret", name="", scopes=(scope,), now=now)[1] for scope in Scope
    }


def bearing(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
async def http(tmp_path: Path, keys: dict[Scope, str]) -> AsyncIterator[httpx.AsyncClient]:
    assert keys
    door = Door.of(access_by(tmp_path / "keys.json"), Scope.RETRIEVE, {"/secret": Scope.ADMIN})
    app = create_app("probe", ready=ready, metrics=CollectorRegistry(), door=door)

    @app.get("/open")
    async def open_(request: Request) -> dict[str, str]:
        return {"caller": request.scope[CALLER]}

    @app.post("/secret")
    async def secret() -> None:
        """Nothing."""

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://probe") as client:
        yield client


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_need_no_key(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/open", "/metrics", "/docs", "/openapi.json", "/nowhere", "/healthz/", "//healthz"])
async def test_everything_else_does(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["error"]) == (401, "Unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert set(answer.json()) == {"error", "detail"}


async def test_the_handler_is_told_who_calls(http: httpx.AsyncClient, keys: dict[Scope, str]) -> None:
    answer = await http.get("/open", headers=bearing(keys[Scope.RETRIEVE]))
    assert (answer.status_code, answer.json()) == (200, {"caller": "idretrieve"})


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/open", {Scope.RETRIEVE}),
        ("/secret", {Scope.ADMIN}),
        ("/metrics", {Scope.METRICS, Scope.ADMIN}),
        ("/openapi.json", set(Scope)),
        ("/nowhere", {Scope.RETRIEVE}),
    ],
)
async def test_a_path_opens_for_its_scopes_alone(
    http: httpx.AsyncClient, keys: dict[Scope, str], path: str, allowed: set[Scope]
) -> None:
    for scope, key in keys.items():
        method = "POST" if path == "/secret" else "GET"
        answer = await http.request(method, path, headers=bearing(key))
        if scope in allowed:
            assert answer.status_code in (200, 404), scope
        else:
            assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden"), scope


MAKERS: dict[str, Callable[[Path, Path], FastAPI]] = {
    "trigger": lambda keys, _: create_trigger(TriggerSettings(api_keys_file=keys)),
    "history": lambda keys, _: create_history(HistorySettings(api_keys_file=keys)),
    "precompute": lambda keys, bundle: create_precompute(PrecomputeSettings(api_keys_file=keys, bundle=bundle)),
    "retrieval": lambda keys, bundle: create_retrieval(RetrievalSettings(api_keys_file=keys, bundle=bundle)),
    "engine": lambda keys, bundle: create_engine(EngineSettings(api_keys_file=keys, bundle=bundle)).app,
}
ROUTES = {
    "trigger": ("POST", "/trigger"),
    "history": ("GET", "/metrics"),
    "precompute": ("GET", "/metrics"),
    "retrieval": ("GET", "/retrieve/42"),
    "engine": ("POST", "/recommend"),
}


@pytest.mark.parametrize("process", MAKERS)
async def test_every_process_asks_for_a_key(
    process: str, keys: dict[Scope, str], tmp_path: Path, micro_bundle: Path
) -> None:
    app = MAKERS[process](tmp_path / "keys.json", micro_bundle)
    method, path = ROUTES[process]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://p") as client:
        assert (await client.request(method, path)).status_code == 401
        wrong = Scope.ENGINE if process != "engine" else Scope.TRIGGER
        assert (await client.request(method, path, headers=bearing(keys[wrong]))).status_code == 403
        assert (await client.get("/metrics", headers=bearing(keys[Scope.METRICS]))).status_code == 200
        assert (await client.get("/healthz")).status_code == 200
