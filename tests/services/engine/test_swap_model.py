"""A swap between two prompts: who is inside keeps the old model, who comes gets the new, a bad one changes nothing."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from contracts.errors import BadBundle, EngineFailed
from contracts.ids import UserId
from model.bundle.read import Bundle
from model.bundle.write import write_bundle
from services.engine.decoder_thread import Decoder
from services.engine.metrics import EngineMetrics
from services.engine.recommend_items import RecommendItems
from services.engine.serving import Model, Serving
from services.engine.swap_model import SwapModel
from services.gateways.inference.port import EngineRequest
from services.runtime.clock import ManualClock

from ...model.bundle.contents import contents
from .hosts import PROBE, VOCABULARY, GatedDecoder, SummingDecoder, batching, recommending


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bundles") / "b"
    write_bundle(contents(), place)
    return place


@dataclass
class World:
    """An engine on one decoder, and what a swap puts in its place."""

    next: Decoder
    first: Decoder = field(default_factory=SummingDecoder)
    switched: list[str] = field(default_factory=list)
    has_switched: asyncio.Event = field(default_factory=asyncio.Event)
    recommend: RecommendItems = field(init=False)
    swap: SwapModel = field(init=False)

    def __post_init__(self) -> None:
        self.recommend = recommending(batching(self.first), EngineMetrics(CollectorRegistry()))
        self.swap = SwapModel(self.recommend, self.serving, self.note, ManualClock())

    def note(self, bundle: Bundle) -> None:
        self.switched.append(bundle.manifest.model_version)
        self.has_switched.set()

    def serving(self, _bundle: Bundle) -> Serving:
        model = Model("m2", "c2", VOCABULARY, [[PROBE]])
        return Serving(batching(self.next), model, rehearse=self.next)

    async def ask(self, *tokens: int) -> str:
        return (await self.recommend(EngineRequest(UserId("u"), tokens))).model_version


async def test_who_is_inside_keeps_the_old_model(directory: Path) -> None:
    gated = GatedDecoder()
    world = World(SummingDecoder(), first=gated)
    gated.gate.set()
    await world.recommend.start()
    gated.gate.clear()
    gated.entered.clear()
    inside = [asyncio.ensure_future(world.ask(3, number)) for number in range(6)]
    await asyncio.to_thread(gated.entered.wait)
    swapping = asyncio.ensure_future(world.swap(directory))
    await world.has_switched.wait()
    assert await world.ask(5) == "m2", "who comes gets the new model"
    assert not swapping.done(), "the old one is still needed"
    gated.gate.set()
    assert await asyncio.gather(*inside) == ["m1"] * 6
    await swapping
    assert await world.ask(5) == "m2"
    await world.recommend.stop()


@pytest.mark.parametrize(
    "error", [BadBundle("heads of another width"), RuntimeError("out of memory"), EngineFailed("states are not finite")]
)
async def test_a_model_that_cannot_be_made_ready_changes_nothing(directory: Path, error: Exception) -> None:
    class Broken(SummingDecoder):
        def __call__(self, requests, /):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
            if isinstance(error, EngineFailed):
                return [error for _ in requests]
            raise error

    world = World(Broken())
    await world.recommend.start()
    with pytest.raises(type(error)):
        await world.swap(directory)
    assert (world.switched, await world.ask(5)) == ([], "m1")
    with pytest.raises(BadBundle):
        await world.swap(directory / "nowhere")
    assert await world.ask(5) == "m1"
    await world.recommend.stop()


@pytest.fixture
def no_look_for_cycles() -> Iterator[None]:
    """The engine hardly ever looks for cycles of objects: what sits in one stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_look_for_cycles")
async def test_the_old_model_s_memory_is_given_back(directory: Path) -> None:
    world = World(SummingDecoder())
    await world.recommend.start()
    await world.ask(5)
    old = weakref.ref(world.first)
    await world.swap(directory)
    world.first = world.next
    assert old() is None
    await world.recommend.stop()
