"""From a trigger to a page with vLLM in the engine, in either way of searching there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from model.bundle.read import read_bundle
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions, free_port

from .conftest import Start
from .engines import Prompts
from .processes import PROCESSES, descendants, is_alive
from .shop import Shop, items_of

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy, pytest.mark.vllm]

Eventually = Callable[..., Awaitable[None]]
# vLLM is imported twice and loads the model; then the engine warms up.
READY_WITHIN_S = 300.0


@pytest.mark.parametrize("decoding", ["pooled", "logits-processor"])
async def test_from_trigger_to_page(
    decoding: str,
    start: Start,
    own_redis: Callable[[Path, ServerOptions], EmbeddedRedis],
    client: httpx.AsyncClient,
    eventually: Eventually,
    micro_bundle: Path,
    tmp_path: Path,
) -> None:
    server = own_redis(tmp_path / "redis", ServerOptions(append_only=True))
    ports = {name: free_port() for name in PROCESSES}
    told = {f"RANKGR_{name.upper()}_PORT": str(port) for name, port in ports.items()} | {
        "RANKGR_REDIS_URL": server.url,
        "RANKGR_BUNDLE": str(micro_bundle),
        "RANKGR_SAMPLES_STATE": str(tmp_path / "samples.sqlite"),
        "RANKGR_PRECOMPUTE_ENGINE_URL": f"http://127.0.0.1:{ports['engine']}",
        "RANKGR_ENGINE_MAX_BATCH": "2",
    }
    running = {name: start(told, "serve", name) for name in PROCESSES if name != "engine"}
    running["engine"] = start(told, "serve", "engine", "--host", "vllm", "--decoding", decoding)
    shop = Shop(client, {name: f"http://127.0.0.1:{port}" for name, port in ports.items()})

    async def all_ready() -> bool:
        for name, one in running.items():
            assert one.process.poll() is None, f"{name} ended with {one.process.returncode}: {one.err[-3000:]}"
        return all([await shop.is_ready(name) for name in running])

    await eventually(all_ready, within_s=READY_WITHIN_S)
    known = items_of(micro_bundle)
    await shop.trigger("ann", "r-1", known[:4])
    assert await shop.gets_fresh("ann", "r-1")
    assert set(await shop.pages("ann", limit=20)) <= set(known)

    tokens = Prompts.of(micro_bundle).tokens(1)
    answer = await client.post(
        f"http://127.0.0.1:{ports['engine']}/recommend", json={"user_id": "bob", "tokens": tokens}
    )
    assert answer.status_code == 200, answer.text
    bundle = read_bundle(micro_bundle)
    (expected,) = TwoStageDecoder(bundle.network(), bundle.catalog)([DecodeRequest(np.array(tokens), max_items=1400)])
    assert isinstance(expected, DecodeResult)
    found = answer.json()["items"]
    assert len(found) == len(expected.item_id)
    for item, score in zip(found, expected.score.tolist(), strict=True):
        assert item["score"] == pytest.approx(score, abs=1e-5)
    # One number per code came out of vLLM's logits, log p mixed in.
    assert (found[0]["levels"][0]["iap_logprob"] is None) == (decoding == "logits-processor")

    below = descendants(running["engine"].process.pid)
    assert any(is_alive(pid) for pid in below)
    for name, one in running.items():
        assert one.end() == 0, f"{name}: {one.err[-3000:]}"

    async def all_gone() -> bool:
        return not any(is_alive(pid) for pid in below)

    # Python's own resource tracker goes a moment after those that it watches.
    await eventually(all_gone, within_s=20.0)
