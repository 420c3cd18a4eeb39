"""The processes one by one, as a deployment runs them: the engine over HTTP, poison on the stream, a killed worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import redis

from contracts.behaviors import Level
from contracts.messages import SessionSampled
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions, free_port

from .conftest import Start
from .engines import Engine
from .processes import PROCESSES, Started
from .shop import Shop, items_of

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy]

Eventually = Callable[..., Awaitable[None]]
StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]
READY_WITHIN_S = 90.0


class Deployment:
    """Every process of the stack on one Redis, each started by its own command."""

    def __init__(
        self, start: Start, start_python: Start, server: EmbeddedRedis, bundle: Path, client: httpx.AsyncClient
    ) -> None:
        ports = {name: free_port() for name in PROCESSES}
        self.told = {f"RANKGR_{name.upper()}_PORT": str(port) for name, port in ports.items()} | {
            "RANKGR_REDIS_URL": server.url,
            "RANKGR_BUNDLE": str(bundle),
            "RANKGR_PRECOMPUTE_ENGINE_URL": f"http://127.0.0.1:{ports['engine']}",
            "RANKGR_PRECOMPUTE_RETRY_AFTER_S": "1",
            "RANKGR_SAMPLES_STATE": str(server.directory / "samples.sqlite"),
            # Short, so that a test can wait for a sample; long enough for a list on a busy machine.
            "RANKGR_SAMPLES_WINDOW_S": "10",
            "RANKGR_SAMPLES_GAP_S": "5",
            "RANKGR_SAMPLES_LATENESS_S": "5",
            "RANKGR_SAMPLES_IDLE_S": "1",
        }
        self.second_engine = Engine(start_python, bundle)
        self.start = start
        self.shop = Shop(client, {name: f"http://127.0.0.1:{port}" for name, port in ports.items()})
        self.running: dict[str, Started] = {}

    def serve(self, name: str) -> None:
        """Start one process."""
        self.running[name] = self.start(self.told, "serve", name)

    async def ready(self) -> bool:
        """Whether all that was started can do its work; fails where one has ended."""
        for name, one in self.running.items():
            assert one.process.poll() is None, f"{name} ended with {one.process.returncode}: {one.err}"
        return all([await self.shop.is_ready(name) for name in self.running])


@pytest.fixture
async def deployment(
    start: Start,
    start_python: Start,
    own_redis: StartRedis,
    client: httpx.AsyncClient,
    eventually: Eventually,
    micro_bundle: Path,
    tmp_path: Path,
) -> Deployment:
    """All of them, ready."""
    server = own_redis(tmp_path / "redis", ServerOptions(append_only=True))
    made = Deployment(start, start_python, server, micro_bundle, client)
    for name in PROCESSES:
        made.serve(name)
    await eventually(made.ready, within_s=READY_WITHIN_S)
    return made


async def test_the_whole_journey_goes_on_after_poison(
    deployment: Deployment, eventually: Eventually, micro_bundle: Path
) -> None:
    shop, items = deployment.shop, items_of(micro_bundle)
    await shop.trigger("ann", "r-1", items[:4])
    assert await shop.gets_fresh("ann", "r-1")

    with redis.Redis.from_url(deployment.told["RANKGR_REDIS_URL"]) as stream:
        stream.xadd("rankgr:stream:triggers", {"key": "eve", "payload": b"\xff\x00 no trigger"})
        await shop.trigger("ann", "r-2", items[4:6])
        assert await shop.gets_fresh("ann", "r-2")

        async def buried() -> bool:
            return bool(stream.xlen("rankgr:stream:dead-letters") == 1)

        await eventually(buried, within_s=10.0)
        [(_number, letter)] = stream.xrange("rankgr:stream:dead-letters")
    assert b"no trigger" in letter[b"payload"]
    assert b'"reason":"BadMessage' in letter[b"payload"]

    await shop.click("bob", items[6:9])

    async def bob_s_history_is_known() -> bool:
        await shop.trigger("bob", f"r-{os.urandom(4).hex()}")
        return await shop.has_fresh("bob")

    await eventually(bob_s_history_is_known, within_s=20.0)
    for name, one in deployment.running.items():
        assert one.end() == 0, f"{name}: {one.err}"


async def test_a_request_becomes_one_sample_with_what_was_not_shown(
    deployment: Deployment, eventually: Eventually, micro_bundle: Path
) -> None:
    shop, items = deployment.shop, items_of(micro_bundle)
    await shop.trigger("ann", "r-1", items[:4])
    assert await shop.gets_fresh("ann", "r-1")
    page = await shop.retrieve("ann", request_id="r-1", limit=30)
    listed = [item["item_id"] for item in page["items"]]
    now_ms = SystemClock().now_ms()
    shown = listed[:3]
    done = [(item, "exposure", now_ms) for item in shown]
    await shop.report("ann", "r-1", [*done, (shown[1], "click", now_ms + 1), (shown[2], "purchase", now_ms + 2)])

    with redis.Redis.from_url(deployment.told["RANKGR_REDIS_URL"]) as stream:

        async def sampled() -> bool:
            return bool(stream.xlen("rankgr:stream:samples"))

        await eventually(sampled, within_s=60.0)
        [(_number, entry)] = stream.xrange("rankgr:stream:samples")
    sample = SessionSampled.model_validate_json(entry[b"payload"])
    assert (sample.user_id, sample.request_id, sample.revision, sample.scene) == ("ann", "r-1", 0, "home")
    levels = dict(zip(sample.item_ids, sample.levels, strict=True))
    assert [levels[item] for item in shown] == [Level.EXPOSURE, Level.CLICK, Level.PURCHASE]
    pseudo = [item for item, level in levels.items() if level is Level.PSEUDO_EXPOSURE]
    assert pseudo == listed[3:13]
    assert sample.history_item_ids == tuple(items[:4])
    assert (sample.model_version, sample.catalog_version) == (page["model_version"], page["catalog_version"])


async def test_a_precompute_that_is_killed_in_the_middle_of_its_work_loses_no_trigger(
    deployment: Deployment, eventually: Eventually, micro_bundle: Path
) -> None:
    shop, items = deployment.shop, items_of(micro_bundle)
    users = [f"user-{number}" for number in range(20)]
    for number, user in enumerate(users[:5]):
        await shop.trigger(user, f"r-{user}", items[number : number + 3])
        assert await shop.gets_fresh(user, f"r-{user}")

    # The engine holds its breath, so that what precompute took is neither done nor given back.
    deployment.running["engine"].process.send_signal(signal.SIGSTOP)
    for number, user in enumerate(users[5:]):
        await shop.trigger(user, f"r-{user}", items[number : number + 3])
    with redis.Redis.from_url(deployment.told["RANKGR_REDIS_URL"]) as stream:

        async def some_are_taken() -> bool:
            pending = stream.xpending("rankgr:stream:triggers", "precompute")
            return bool(pending["pending"])

        await eventually(some_are_taken, within_s=10.0)
    deployment.running["precompute"].end(signal.SIGKILL)
    deployment.running["engine"].process.send_signal(signal.SIGCONT)

    deployment.serve("precompute")
    for user in users:

        async def fresh(user: str = user) -> bool:
            return await shop.gets_fresh(user, f"r-{user}")

        await eventually(fresh, within_s=30.0)


async def test_of_two_engines_one_dies_under_load_and_every_trigger_gets_its_list(
    deployment: Deployment, eventually: Eventually, micro_bundle: Path
) -> None:
    shop, items, second = deployment.shop, items_of(micro_bundle), deployment.second_engine
    second.begin()
    await eventually(second.is_ready, within_s=READY_WITHIN_S)
    deployment.running["precompute"].end()
    deployment.told["RANKGR_PRECOMPUTE_ENGINE_URL"] += f",{second.url}"
    deployment.serve("precompute")
    await eventually(deployment.ready, within_s=READY_WITHIN_S)

    users = [f"user-{number}" for number in range(60)]
    for number, user in enumerate(users):
        await shop.trigger(user, f"r-{user}", items[number : number + 3])
        if number == len(users) // 2:
            assert await second.metric("rankgr_engine_requests_total") > 0, "it has users of its own"
            second.process.end(signal.SIGKILL)
    for user in users:
        assert await shop.gets_fresh(user, f"r-{user}"), user
