"""One trace through real processes: from the caller over trigger, stream, precompute and engine to the store."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from services.runtime.embedded_redis import ServerOptions

from .brokers import RedisBroker, StartRedis
from .conftest import Start
from .processes import Started
from .shop import items_of
from .test_stream_faults import serve

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy, pytest.mark.alone]

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def spans_of(processes: list[Started]) -> dict[str, dict[str, object]]:
    """Spans of our trace, by their names."""
    lines = [line for one in processes for line in one.err.splitlines() if line.startswith("{")]
    logged = [json.loads(line) for line in lines]
    return {line["span"]: line for line in logged if line["event"] == "span" and line["trace_id"] == TRACE}


async def test_a_request_is_followed_from_its_caller_to_the_store(
    own_redis: StartRedis,
    start: Start,
    client: httpx.AsyncClient,
    eventually: Callable[..., Awaitable[None]],
    micro_bundle: Path,
    tmp_path: Path,
) -> None:
    cache = own_redis(tmp_path / "cache", ServerOptions())
    told = {
        "RANKGR_REDIS_URL": cache.url,
        "RANKGR_BUNDLE": str(micro_bundle),
        "RANKGR_TRACES": "log",
    } | RedisBroker.begin(own_redis, tmp_path / "stream").told()
    engine, told["RANKGR_PRECOMPUTE_ENGINE_URL"] = await serve("engine", told, start, client, eventually)
    precompute, _url = await serve("precompute", told, start, client, eventually)
    trigger, trigger_url = await serve("trigger", told, start, client, eventually)
    recent = [{"item_id": items_of(micro_bundle)[0], "behavior": "click", "timestamp": 1}]
    answer = await client.post(
        f"{trigger_url}/trigger",
        json={"user_id": "ann", "request_id": "r-1", "recent": recent},
        headers={"traceparent": f"00-{TRACE}-{CALLER}-01"},
    )
    assert answer.status_code == httpx.codes.ACCEPTED
    names = {"trigger", "stream", "precompute", "engine call", "engine", "store"}

    async def all_there() -> bool:
        return names <= set(spans_of([trigger, precompute, engine]))

    await eventually(all_there, within_s=20.0)
    spans = spans_of([trigger, precompute, engine])
    above = {name: span["parent_id"] for name, span in spans.items()}
    ids = {name: span["span_id"] for name, span in spans.items()}
    assert above == above | {
        "trigger": CALLER,
        "stream": ids["trigger"],
        "precompute": ids["trigger"],
        "engine call": ids["precompute"],
        "engine": ids["engine call"],
        "store": ids["precompute"],
    }
    assert spans["precompute"]["about_request_id"] == "r-1"
    assert {spans[name]["process"] for name in ("trigger", "store", "engine")} == {"trigger", "precompute", "engine"}
