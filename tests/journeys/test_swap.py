"""A real engine under load while bundles come, good and bad ones: no request lost, no answer of two models."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from model.bundle.read import read_bundle
from model.decoding.request import DecodeRequest
from model.decoding.two_stage import TwoStageDecoder
from services.bundles.promote import PromoteBundle
from services.bundles.roll_back import RollBack
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import BundleStore, Channel
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import free_port

from ..model.bundle.contents import change_tensors, sign_again
from .conftest import Start
from .engines import Engine
from .swapping import Made, Noted, load_on, make, other_catalog

pytestmark = [pytest.mark.journey, pytest.mark.heavy]

Eventually = Callable[..., Awaitable[None]]
READY_WITHIN_S = 90.0
SWAP_WITHIN_S = 30.0
TOKENS = (1, 2, 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    """Three: the second has other weights, the third another catalogue too."""
    place = tmp_path_factory.mktemp("made")
    catalogs = [None, None, other_catalog()]
    return [
        make(place / f"b{seed}", seed, catalog=catalog, newest_ms=1_763_769_600_000)
        for seed, catalog in enumerate(catalogs)
    ]


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return open_bundle_store(str(tmp_path / "store"))


@pytest.fixture
def promote(store: BundleStore) -> PromoteBundle:
    return PromoteBundle(store, SystemClock(), "a test", keep=5)


def engine_on(start: Start, tmp_path: Path, **told: str) -> Engine:
    return Engine(
        start,
        Path(),
        told={
            "RANKGR_BUNDLE": "",
            "RANKGR_BUNDLE_STORE": str(tmp_path / "store"),
            "RANKGR_BUNDLE_STAGING": str(tmp_path / "staging"),
            "RANKGR_BUNDLE_POLL_S": "0.1",
            "RANKGR_ENGINE_TURN_S": "5",
        }
        | told,
        port=free_port(),
    )


async def versions_of(engine: Engine) -> tuple[str, str]:
    async with httpx.AsyncClient() as client:
        headers = (await client.get(f"{engine.url}/healthz")).headers
    return headers["rankgr-model-version"], headers["rankgr-catalog-version"]


def serves(engine: Engine, one: Made) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return await versions_of(engine) == (one.model_version, one.catalog_version)

    return check


def list_of(one: Made) -> tuple[tuple[int, float, tuple[int, ...]], ...]:
    """What this model recommends for the prompt, computed here."""
    bundle = read_bundle(one.path)
    [found] = TwoStageDecoder(bundle.network(), bundle.catalog)([DecodeRequest(np.array(TOKENS), max_items=1400)])
    rows = zip(found.item_id.tolist(), found.score.tolist(), found.codes.tolist(), strict=True)  # type: ignore[union-attr]
    return tuple((item, score, tuple(sid)) for item, score, sid in rows)


def is_list(found: tuple[tuple[int, float, tuple[int, ...]], ...], expected: object) -> bool:
    return [(item, sid) for item, _, sid in found] == [(item, sid) for item, _, sid in expected] and np.allclose(  # type: ignore[attr-defined]
        [score for _, score, _ in found],
        [score for _, score, _ in expected],  # type: ignore[attr-defined]
        atol=1e-4,
    )


async def test_swaps_under_load_lose_nothing_and_mix_nothing(
    start_python: Start, tmp_path: Path, made: list[Made], promote: PromoteBundle, store: BundleStore,
    eventually: Eventually,
) -> None:  # fmt: skip
    promote(made[0].path)
    engine = engine_on(start_python, tmp_path)
    engine.begin()
    await eventually(engine.is_ready, READY_WITHIN_S)
    assert await versions_of(engine) == (made[0].model_version, made[0].catalog_version)
    noted = Noted()
    async with load_on(engine.url, TOKENS, noted):
        for one in (made[1], made[2]):
            await asyncio.to_thread(promote, one.path)
            await eventually(serves(engine, one), SWAP_WITHIN_S)
        await asyncio.to_thread(RollBack(store, SystemClock(), "a test"))
        await eventually(serves(engine, made[1]), 10.0)
    assert set(noted.statuses) == {200}
    order = [made[0], made[1], made[2], made[1]]
    assert noted.model_versions()[-1] == made[1].model_version
    assert set(noted.versions) == {(one.model_version, one.catalog_version) for one in order}
    expected = {one.model_version: list_of(one) for one in made}
    for (model, _), found in zip(noted.versions, noted.lists, strict=True):
        assert is_list(found, expected[model])
    assert await engine.metric('rankgr_bundle_swaps_total{outcome="swapped"}') == 3
    assert await engine.metric("rankgr_engine_model_info") == 1
    assert await engine.metric(f'rankgr_engine_model_requests_total{{model_version="{made[2].model_version}"') > 0
    assert await engine.metric("rankgr_bundle_newest_interaction_age_seconds") > 0
    assert len([path for path in (tmp_path / "staging").glob("*/*") if path.is_dir()]) == 1


async def test_a_bad_bundle_is_never_served_and_the_old_one_goes_on(
    start_python: Start, tmp_path: Path, made: list[Made], promote: PromoteBundle, store: BundleStore,
    eventually: Eventually,
) -> None:  # fmt: skip
    promote(made[0].path)
    engine = engine_on(start_python, tmp_path)
    engine.begin()
    await eventually(engine.is_ready, READY_WITHIN_S)
    # Past every check of the publisher's: into the store by hand, as a broken disk or another program would.
    spoilt = tmp_path / "spoilt"
    shutil.copytree(made[1].path, spoilt)
    change_tensors(spoilt / "model.safetensors", lambda tensors: tensors["model.norm.weight"].fill_(float("nan")))
    sign_again(spoilt, "model.safetensors")
    bad = store.publish(spoilt, 0).version
    flipped = store.publish(made[2].path, 0).version
    weights = tmp_path / "store" / "versions" / flipped / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    noted = Noted()

    async def refusals(count: int) -> bool:
        return await engine.metric('rankgr_bundle_swaps_total{outcome="refused"}') == count

    async with load_on(engine.url, TOKENS, noted):
        for number, version in enumerate((bad, flipped), 1):
            await asyncio.to_thread(_move, store, version)
            await eventually(lambda number=number: refusals(number), SWAP_WITHIN_S)
        await asyncio.sleep(0)
        await asyncio.to_thread(RollBack(store, SystemClock(), "a test"), store.moves(Channel.LATEST)[0].version)
        await asyncio.to_thread(promote, made[1].path)
        await eventually(serves(engine, made[1]), SWAP_WITHIN_S)
    assert set(noted.statuses) == {200}
    assert {model for model, _ in noted.versions} == {made[0].model_version, made[1].model_version}
    assert "model.norm.weight holds values that are not finite" in engine.process.err
    assert "model.safetensors is damaged" in engine.process.err
    assert engine.process.err.count("bundle refused") == 2


def _move(store: BundleStore, version: str) -> None:
    from services.gateways.bundle_store.port import Move, next_move

    store.move(Channel.LATEST, Move(number=next_move(store.moves(Channel.LATEST)), version=version, at_ms=0))


async def test_a_store_that_goes_away_and_comes_back(
    start_python: Start, tmp_path: Path, made: list[Made], promote: PromoteBundle, eventually: Eventually
) -> None:
    promote(made[0].path)
    engine = engine_on(start_python, tmp_path)
    engine.begin()
    await eventually(engine.is_ready, READY_WITHIN_S)
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    (tmp_path / "store").write_text("no directory")

    async def noticed() -> bool:
        return await engine.metric("rankgr_bundle_store_failures") > 0

    await eventually(noticed, SWAP_WITHIN_S)
    assert await engine.is_ready()
    # Killed meanwhile, it begins with what was staged.
    engine.process.end(signal.SIGKILL)
    engine.begin()
    await eventually(engine.is_ready, READY_WITHIN_S)
    assert await versions_of(engine) == (made[0].model_version, made[0].catalog_version)
    (tmp_path / "store").unlink()
    (tmp_path / "elsewhere").rename(tmp_path / "store")
    promote(made[1].path)
    await eventually(serves(engine, made[1]), SWAP_WITHIN_S)


async def test_an_engine_that_is_killed_while_it_swaps_begins_with_the_new_bundle(
    start_python: Start, tmp_path: Path, made: list[Made], promote: PromoteBundle, eventually: Eventually
) -> None:
    promote(made[0].path)
    engine = engine_on(start_python, tmp_path)
    engine.begin()
    await eventually(engine.is_ready, READY_WITHIN_S)
    version = promote(made[1].path).bundle.version

    async def staging() -> bool:
        return any(version in path.name for path in (tmp_path / "staging").glob("*/*"))

    await eventually(staging, SWAP_WITHIN_S)
    engine.process.end(signal.SIGKILL)
    engine.begin()
    await eventually(engine.is_ready, READY_WITHIN_S)
    assert await versions_of(engine) == (made[1].model_version, made[1].catalog_version)
    # The turn of the dead is over by and by; the living do not wait for it to begin.
    promote(made[2].path)
    await eventually(serves(engine, made[2]), 90.0)


async def test_replicas_swap_one_after_the_other_and_a_canary_goes_first(
    start_python: Start, tmp_path: Path, made: list[Made], promote: PromoteBundle, store: BundleStore,
    eventually: Eventually,
) -> None:  # fmt: skip
    promote(made[0].path)
    plain = engine_on(start_python, tmp_path)
    canary = engine_on(start_python, tmp_path, RANKGR_ENGINE_CHANNEL="canary")
    for one in (plain, canary):
        one.begin()
    for one in (plain, canary):
        await eventually(one.is_ready, READY_WITHIN_S)
    promote(made[1].path, Channel.CANARY)
    await eventually(serves(canary, made[1]), SWAP_WITHIN_S)
    assert await serves(plain, made[0])()
    # Taken back: the canary's replica serves what everybody serves.
    RollBack(store, SystemClock(), "a test").withdraw()
    await eventually(serves(canary, made[0]), SWAP_WITHIN_S)
    # A promotion is for both; each had a turn of its own.
    promote(made[2].path)
    for one in (plain, canary):
        await eventually(serves(one, made[2]), SWAP_WITHIN_S)

    async def taken_and_given_back_in_pairs() -> bool:
        turns = sorted((tmp_path / "store" / "turns").glob("*.json"))
        holders = [path.read_text().split('"holder":"')[1].split('"')[0] for path in turns]
        assert len(set(holders)) <= 2
        return len(set(holders)) == 2 and holders == [holder for holder in holders[::2] for _ in range(2)]

    # The last one is given back a moment after its model serves.
    await eventually(taken_and_given_back_in_pairs, SWAP_WITHIN_S)


def test_a_store_without_a_bundle_is_one_line(start_python: Start, tmp_path: Path) -> None:
    engine = engine_on(start_python, tmp_path)
    engine.begin()
    assert engine.process.process.wait(60) == 1
    [line] = engine.process.complaints()
    assert line.startswith("rankgr engine: the bundle store has no latest")
