"""The whole stack follows the store: a canary of another catalogue gets prompts of its own, then everybody swaps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.bundle.read import read_bundle
from services.bundles.promote import PromoteBundle
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import Channel
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions

from .conftest import Start
from .stack_on_store import ENGINES, READY_WITHIN_S, SWAP_WITHIN_S, Stack
from .swapping import Made, make, other_catalog

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy]

Eventually = Callable[..., Awaitable[None]]


def sids_fit(page: dict[str, Any], one: Made) -> bool:
    """Whether every item stands under its own id in this bundle's catalogue."""
    catalog = read_bundle(one.path).catalog
    rows = catalog.rows_of([item["item_id"] for item in page["items"]])
    return bool((rows >= 0).all()) and catalog.codes[rows].tolist() == [item["sid"] for item in page["items"]]


def models(pages: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {user: page["model_version"] for user, page in pages.items()}


async def test_a_canary_then_everybody(
    start: Start,
    own_redis: Callable[[Path, ServerOptions], EmbeddedRedis],
    client: httpx.AsyncClient,
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    old, new = make(tmp_path / "old", 0), make(tmp_path / "new", 1, catalog=other_catalog())
    by_model = {one.model_version: one for one in (old, new)}
    promote = PromoteBundle(open_bundle_store(str(tmp_path / "store")), SystemClock(), "a test", keep=5)
    promote(old.path)
    server = own_redis(tmp_path / "redis", ServerOptions(append_only=True))
    stack = Stack.begin(start, client, server.url, tmp_path / "store")
    await eventually(stack.is_ready, READY_WITHIN_S)
    assert set(models(await stack.listed("before")).values()) == {old.model_version}

    newest = promote(new.path, Channel.CANARY).bundle.version
    await eventually(lambda: stack.serves(newest, "canary"), SWAP_WITHIN_S)
    during = await stack.listed("during")
    assert set(models(during).values()) == set(by_model), "each model has its users"
    for page in during.values():
        one = by_model[page["model_version"]]
        assert page["catalog_version"] == one.catalog_version
        assert sids_fit(page, one)
    # Users keep to their engine, as ever.
    assert models(await stack.listed("again")) == models(during)

    promote.stored(newest)
    await eventually(lambda: stack.serves(newest, *ENGINES, "precompute", "retrieval"), SWAP_WITHIN_S)
    # Lists of the old model are gone at once, as set; the canary's users keep theirs.
    kept = {user: (await stack.shop.retrieve(user))["outcome"] for user in during}
    assert kept == {
        user: "fallback" if model == old.model_version else "fresh" for user, model in models(during).items()
    }
    after = await stack.listed("after")
    assert set(models(after).values()) == {new.model_version}
    assert all(sids_fit(page, new) for page in after.values())
    # Side by side: what either model's lists were made and shown for.
    for model in by_model:
        assert await stack.shows("retrieval", f'rankgr_retrieval_model_answers_total{{model_version="{model}"')
        assert await stack.shows("precompute", f'rankgr_precompute_model_lists_total{{model_version="{model}"')
    assert await stack.is_ready()
