"""The engine as its main wires it, around small bundles: a catalogue without items, a real decoder's refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from model.bundle.read import Bundle
from services.engine.main import create
from services.engine.settings import EngineSettings

from ..small_bundle import bundle_of


@asynccontextmanager
async def engine_of(bundle: Bundle, **settings: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the engine around this bundle, which has been started."""
    app = create(EngineSettings(bundle=bundle.path, max_wait_ms=0).model_copy(update=settings), bundle).app
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://engine") as client,
    ):
        yield client


async def test_an_empty_catalogue_is_ready_and_has_nothing_to_recommend() -> None:
    async with engine_of(bundle_of(0)) as client:
        assert (await client.get("/readyz")).status_code == 200
        answer = await client.post("/recommend", json={"user_id": "42", "tokens": [1, 2]})
        assert (answer.status_code, answer.json()["error"]) == (422, "NothingToRecommend")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"tokens": [1] * 81}, "PromptTooLong"),
        ({"tokens": [10**6]}, "UnknownToken"),
        ({"beams": [0, 1]}, "BadRequest"),
        ({"beams": [1]}, "BadRequest"),
        ({"exclude": list(range(100, 120))}, "NothingToRecommend"),
        ({"filter": "////", "catalog_version": bundle_of(20).catalog.version}, "BadRequest"),
        ({"filter": "//8P", "catalog_version": bundle_of(20).catalog.version}, "NothingToRecommend"),
    ],
)
async def test_what_the_model_cannot_take_is_refused_by_name(change: dict[str, object], error: str) -> None:
    async with engine_of(bundle_of(20)) as client:
        answer = await client.post("/recommend", json={"user_id": "42", "tokens": [1, 2]} | change)
        assert (answer.status_code, answer.json()["error"]) == (422, error)


async def test_widths_above_what_exists_are_clamped() -> None:
    async with engine_of(bundle_of(20)) as client:
        body = {"user_id": "42", "tokens": [1, 2], "beams": [2**31 - 1] * 2, "lambdas": [2**31 - 1] * 2}
        answer = await client.post("/recommend", json=body)
        assert (answer.status_code, len(answer.json()["items"])) == (200, 20)


async def test_a_state_that_is_not_finite_fails_its_own_request_alone() -> None:
    bundle = bundle_of(20)
    weights = {name: tensor.clone() for name, tensor in bundle.weights.items()}
    weights["model.embed_tokens.weight"][bundle.prompt_format.special_tokens["hour:1"]] = float("nan")
    async with engine_of(replace(bundle, weights=weights)) as client:
        tokens = [1, bundle.prompt_format.special_tokens["hour:1"], 2]
        answer = await client.post("/recommend", json={"user_id": "42", "tokens": tokens})
        assert (answer.status_code, answer.json()["error"]) == (500, "EngineFailed")
        answer = await client.post("/recommend", json={"user_id": "42", "tokens": [1, 2]})
        assert answer.status_code == 200


async def test_the_same_prompt_of_the_same_user_computes_its_last_token_alone_and_gives_the_same_list() -> None:
    async with engine_of(bundle_of(20)) as client:
        body = {"user_id": "42", "tokens": list(range(1, 20))}
        cold, warm = [(await client.post("/recommend", json=body)).json() for _ in range(2)]
        other = (await client.post("/recommend", json=body | {"user_id": "43"})).json()
        metrics = (await client.get("/metrics")).text
    assert cold["counts"]["computed_tokens"] == other["counts"]["computed_tokens"] == 19
    assert (warm["counts"]["computed_tokens"], warm["counts"]["reused_tokens"]) == (1, 18)
    assert [item["item_id"] for item in warm["items"]] == [item["item_id"] for item in cold["items"]]
    assert 'rankgr_engine_prompt_tokens_total{kind="reused"} 18.0' in metrics
    assert 'rankgr_engine_prompt_tokens_total{kind="computed"} 39.0' in metrics
    version = bundle_of(20).catalog.version
    assert f'rankgr_engine_model_info{{catalog_version="{version}",model_version="m1"}} 1.0' in metrics


async def test_a_cache_of_nothing_keeps_nothing() -> None:
    async with engine_of(bundle_of(20), prefix_cache_bytes=0) as client:
        body = {"user_id": "42", "tokens": list(range(1, 20))}
        counts = [(await client.post("/recommend", json=body)).json()["counts"] for _ in range(2)]
    assert [one["computed_tokens"] for one in counts] == [19, 19]
