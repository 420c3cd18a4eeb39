"""An item joins a running stack, is recommended, retires and is never seen again; no list mixes two catalogues."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.bundle.change_items import AddItems, RetireItems
from model.bundle.read import Bundle, read_bundle
from model.data.data_set import read_data_set
from model.data.new_items import NewItem
from services.bundles.change_items import ChangeItems, ItemsChanged
from services.bundles.gate import Gate, GateRules
from services.bundles.promote import PromoteBundle
from services.gateways.bundle_store.chosen import open_bundle_store
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions

from .conftest import Start
from .stack_on_store import ENGINES, READY_WITHIN_S, SWAP_WITHIN_S, Stack

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy]

Eventually = Callable[..., Awaitable[None]]
NEW = 5
# More than the catalogue has.
WHOLE_LIST = 100


def assert_of_one_catalogue(page: dict[str, Any], served: dict[str, Bundle]) -> None:
    """Every item stands under the id that the catalogue which the page names gives it."""
    catalog = served[page["catalog_version"]].catalog
    rows = catalog.rows_of([item["item_id"] for item in page["items"]])
    assert (rows >= 0).all()
    assert catalog.codes[rows].tolist() == [item["sid"] for item in page["items"]]


def holds(page: dict[str, Any], item: int) -> bool:
    return item in [one["item_id"] for one in page["items"]]


@dataclass
class World:
    """The stack, how its items change, and every bundle that it served, by catalogue version."""

    stack: Stack
    change: ChangeItems
    place: Path
    recent: Sequence[int]
    served: dict[str, Bundle]

    async def listed(self, round_: str, *more: int) -> list[dict[str, Any]]:
        """Whole lists, one for each user."""
        return list((await self.stack.listed(round_, [*more, *self.recent], WHOLE_LIST)).values())

    async def swapped(self, what: AddItems | RetireItems) -> list[dict[str, Any]]:
        """What one more user got, again and again, from before the change until everybody serves it."""
        made = asyncio.ensure_future(asyncio.to_thread(self.change, what))
        pages: list[dict[str, Any]] = []
        async with asyncio.timeout(SWAP_WITHIN_S):
            while not (made.done() and await self.serves(promoted(made))):
                await self.stack.shop.trigger("busy", f"{len(pages)}-{type(what).__name__}", self.recent)
                pages.append(await self.stack.shop.retrieve("busy", limit=WHOLE_LIST, wait_ms=1000))
        into = self.place / promoted(made)
        self.change.promote.store.fetch(promoted(made), into)
        bundle = read_bundle(into)
        self.served[bundle.manifest.catalog_version] = bundle
        return [page for page in pages if page["outcome"] == "fresh"]

    async def serves(self, version: str) -> bool:
        return await self.stack.serves(version, *ENGINES, "precompute", "retrieval")


def promoted(made: asyncio.Future[ItemsChanged]) -> str:
    done = made.result().promoted
    assert done is not None
    return done.bundle.version


async def test_an_item_comes_is_recommended_and_goes_for_good(
    start: Start, own_redis: Callable[[Path, ServerOptions], EmbeddedRedis], client: httpx.AsyncClient,
    eventually: Eventually, micro_bundle: Path, micro_data: Path, tmp_path: Path,
) -> None:  # fmt: skip
    clock, store = SystemClock(), open_bundle_store(str(tmp_path / "store"))
    promote = PromoteBundle(store, clock, "a test", 5, Gate(GateRules(60_000), clock))
    promote(micro_bundle)
    first = read_bundle(micro_bundle)
    twin, *recent = first.popular.default[:5]
    items = read_data_set(micro_data).items
    text = items.text[items.item_id.tolist().index(twin)]
    server = own_redis(tmp_path / "redis", ServerOptions(append_only=True))
    stack = Stack.begin(start, client, server.url, tmp_path / "store")
    oldest = first.manifest.catalog_version
    world = World(stack, ChangeItems(promote, clock), tmp_path, recent, {oldest: first})
    await eventually(stack.is_ready, READY_WITHIN_S)

    before = await world.listed("before")
    assert any(holds(page, twin) for page in before)
    during = await world.swapped(AddItems([NewItem("line 1", NEW, "Twin", text)]))
    added = await world.listed("added")
    assert any(holds(page, NEW) for page in added), "the trie leads to it"

    during += await world.swapped(RetireItems([NEW]))
    # It may stand in a history for ever: that names nothing any more.
    retired = [*await world.listed("retired"), *await world.listed("again", NEW)]
    assert not any(holds(page, NEW) for page in retired)
    assert not holds(await stack.shop.retrieve("nobody", limit=WHOLE_LIST), NEW)
    # Back where it began: the catalogue is the very same one, and so are the weights, all the time.
    assert {page["catalog_version"] for page in retired} == {oldest} != {page["catalog_version"] for page in added}
    pages = [*before, *during, *added, *retired]
    assert {page["model_version"] for page in pages} == {first.manifest.model_version}
    for page in pages:
        assert_of_one_catalogue(page, world.served)
    assert during
    assert await stack.is_ready()
