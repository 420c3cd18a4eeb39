"""What the stream side survives, on real processes and both streams: see each test's name."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from contracts.errors import StreamDown
from contracts.messages import DeadLetter, Topic, TriggerRequested
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions, free_port

from .brokers import Broker, RedisBroker, StartRedis, TansuBroker
from .conftest import Start
from .processes import Started
from .shop import items_of

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy, pytest.mark.alone]

Eventually = Callable[..., Awaitable[None]]
FROZEN_S = 5.0
PER_S = 40.0


@pytest.fixture(params=["redis", "kafka"])
async def broker(request: pytest.FixtureRequest, own_redis: StartRedis, tmp_path: Path) -> AsyncIterator[Broker]:
    made: Broker = (
        RedisBroker.begin(own_redis, tmp_path / "stream") if request.param == "redis" else TansuBroker.begin()
    )
    yield made
    made.resume()
    if isinstance(made, TansuBroker):
        made.kill()


@pytest.fixture
def cache(own_redis: StartRedis, tmp_path: Path) -> EmbeddedRedis:
    return own_redis(tmp_path / "cache", ServerOptions())


@dataclass
class Shoppers:
    """They trigger at a steady pace, whatever the answers; what was accepted and how long refusals took is noted."""

    client: httpx.AsyncClient
    url: str
    accepted: set[str] = field(default_factory=set)
    refused_s: list[float] = field(default_factory=list)
    strange: list[int] = field(default_factory=list)
    _number: int = 0

    async def come(self, seconds: float) -> None:
        under_way: set[asyncio.Task[None]] = set()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            under_way.add(asyncio.create_task(self._one()))
            await asyncio.sleep(1 / PER_S)
        await asyncio.gather(*under_way)

    async def _one(self) -> None:
        self._number += 1
        request = f"r-{self._number}"
        began = time.monotonic()
        answer = await self.client.post(
            f"{self.url}/trigger", json={"user_id": f"user-{self._number % 31}", "request_id": request}
        )
        if answer.status_code == httpx.codes.ACCEPTED:
            self.accepted.add(request)
        elif answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            self.refused_s.append(time.monotonic() - began)
        else:
            self.strange.append(answer.status_code)


async def serve(
    name: str,
    told: dict[str, str],
    start: Start,
    client: httpx.AsyncClient,
    eventually: Eventually,
    probe: str = "readyz",
) -> tuple[Started, str]:
    """Start a process and wait until it says that it is ready (or alive); it and its URL."""
    port = free_port()
    process = start({**told, f"RANKGR_{name.upper()}_PORT": str(port)}, "serve", name)
    url = f"http://127.0.0.1:{port}"

    async def up() -> bool:
        assert process.process.poll() is None, process.err
        try:
            return (await client.get(f"{url}/{probe}")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    await eventually(up, within_s=60.0)
    return process, url


async def requests_on(broker: Broker, wanted: set[str], within_s: float = 20.0) -> set[str]:
    """Requests of the triggers that the stream has; returns early when all that are wanted are there."""
    stream = broker.stream()
    consumer = stream.consumer(Topic.TRIGGERS, "test", "one")
    seen: set[str] = set()
    until = time.monotonic() + within_s
    while not wanted <= seen and time.monotonic() < until:
        try:
            for delivery in await consumer.receive(200, 0.5):
                seen.add(TriggerRequested.model_validate_json(delivery.payload).request_id)
                await consumer.ack(delivery)
        except StreamDown:
            continue
    await consumer.close()
    await stream.close()
    return seen


async def test_a_broker_that_stands_still_for_five_seconds_loses_no_accepted_trigger(
    broker: Broker, cache: EmbeddedRedis, start: Start, client: httpx.AsyncClient, eventually: Eventually
) -> None:
    told = {"RANKGR_REDIS_URL": cache.url} | broker.told()
    _process, url = await serve("trigger", told, start, client, eventually)
    shoppers = Shoppers(client, url)
    await shoppers.come(1.0)
    before = len(shoppers.accepted)
    coming = asyncio.create_task(shoppers.come(FROZEN_S + 3.0))
    broker.freeze()
    await asyncio.sleep(FROZEN_S)
    broker.resume()
    await coming
    assert before
    assert len(shoppers.accepted) > before, "it goes on by itself"
    assert shoppers.refused_s
    assert shoppers.strange == []
    refused = sorted(shoppers.refused_s)
    # Three tenths of a second are promised; the test's own client and machine may be slow.
    assert refused[len(refused) // 2] < 0.3
    assert refused[-1] < 1.5
    missing = shoppers.accepted - await requests_on(broker, shoppers.accepted)
    assert missing == set()


async def test_a_broker_that_is_killed_is_found_again_and_what_it_keeps_is_kept(
    broker: Broker, cache: EmbeddedRedis, start: Start, client: httpx.AsyncClient, eventually: Eventually
) -> None:
    told = {"RANKGR_REDIS_URL": cache.url} | broker.told()
    _process, url = await serve("trigger", told, start, client, eventually)
    shoppers = Shoppers(client, url)
    await shoppers.come(1.0)
    before = set(shoppers.accepted)
    coming = asyncio.create_task(shoppers.come(6.0))
    await asyncio.sleep(0.5)
    broker.kill()
    await asyncio.sleep(1.0)
    at_death = set(shoppers.accepted)
    broker.restart()
    await coming
    assert before
    assert shoppers.accepted > at_death, "it goes on by itself"
    assert shoppers.strange == []
    wanted = shoppers.accepted if broker.keeps else shoppers.accepted - at_death
    assert wanted - await requests_on(broker, wanted) == set()


def counted(metrics: str, outcome: str) -> float:
    """How many triggers precompute says became this."""
    found = re.search(rf'rankgr_precompute_triggers_total{{outcome="{outcome}"}} (\S+)', metrics)
    return float(found[1]) if found else 0.0


async def test_without_an_engine_triggers_wait_then_are_dropped_and_counted_and_poison_is_buried(
    broker: Broker,
    cache: EmbeddedRedis,
    start: Start,
    client: httpx.AsyncClient,
    eventually: Eventually,
    micro_bundle: Path,
) -> None:
    told = {
        "RANKGR_REDIS_URL": cache.url,
        "RANKGR_BUNDLE": str(micro_bundle),
        "RANKGR_PRECOMPUTE_ENGINE_URL": f"http://127.0.0.1:{free_port()}",
        "RANKGR_PRECOMPUTE_MAX_AGE_S": "6",
        "RANKGR_PRECOMPUTE_RETRY_AFTER_S": "3",
    } | broker.told()
    _trigger, trigger_url = await serve("trigger", told, start, client, eventually)
    _precompute, url = await serve("precompute", told, start, client, eventually, probe="healthz")
    stream = broker.stream()
    await stream.publish(Topic.TRIGGERS, "eve", b"\xff no trigger")
    item = items_of(micro_bundle)[0]
    for number in range(20):
        body = {"user_id": f"u{number}", "recent": [{"item_id": item, "behavior": "click", "timestamp": 1}]}
        assert (await client.post(f"{trigger_url}/trigger", json=body)).status_code == httpx.codes.ACCEPTED
    told_at = time.monotonic()

    async def outcome(name: str) -> float:
        return counted((await client.get(f"{url}/metrics")).text, name)

    async def buried() -> bool:
        return len(await stream.dead_letters(10)) == 1

    await eventually(buried, within_s=15.0)
    if time.monotonic() - told_at < 4.0:
        assert await outcome("expired") == 0, "they wait while they are young"

    async def all_dropped() -> bool:
        return await outcome("expired") == 20

    await eventually(all_dropped, within_s=30.0)
    consumer = stream.consumer(Topic.TRIGGERS, "precompute", "test")
    assert await consumer.lag() == 0, "nothing piles up"
    await consumer.close()
    [letter] = [DeadLetter.model_validate_json(one) for one in await stream.dead_letters(10)]
    assert letter.reason.startswith("BadMessage")
    assert (letter.attempts, letter.key) == (1, "eve")
    await stream.close()


@dataclass
class Users:
    """They trigger until they are accepted, and look at their lists; whose list went back to an older one is noted."""

    client: httpx.AsyncClient
    trigger_url: str
    retrieval_url: str
    item: int
    eventually: Eventually
    newest: dict[str, int] = field(default_factory=dict)
    went_back: list[str] = field(default_factory=list)

    async def tell(self, user: str, number: int) -> None:
        """A trigger whose request is numbered."""
        recent = [{"item_id": self.item, "behavior": "click", "timestamp": number}]
        body = {"user_id": user, "request_id": f"r-{number}", "recent": recent}

        async def taken() -> bool:
            answer = await self.client.post(f"{self.trigger_url}/trigger", json=body)
            return answer.status_code == httpx.codes.ACCEPTED

        await self.eventually(taken, within_s=10.0)

    async def look(self, user: str) -> int:
        """The number of the request that the user's list was made for, 0 without a list."""
        page = (await self.client.get(f"{self.retrieval_url}/retrieve/{user}", params={"wait_ms": 500})).json()
        number = int((page["request_id"] or "r-0").removeprefix("r-"))
        if number < self.newest.get(user, 0):
            self.went_back.append(user)
        self.newest[user] = max(number, self.newest.get(user, 0))
        return number

    async def wait_for(self, user: str, number: int) -> None:
        """Until the user's list is that of this request."""

        async def there() -> bool:
            return await self.look(user) == number

        await self.eventually(there, within_s=40.0)


async def test_of_two_precompute_processes_one_is_killed_in_mid_batch_and_nothing_is_lost_or_goes_back(
    broker: Broker,
    cache: EmbeddedRedis,
    start: Start,
    client: httpx.AsyncClient,
    eventually: Eventually,
    micro_bundle: Path,
) -> None:
    told = {
        "RANKGR_REDIS_URL": cache.url,
        "RANKGR_BUNDLE": str(micro_bundle),
        "RANKGR_PRECOMPUTE_RETRY_AFTER_S": "2",
        # Some are at the engine and others wait for a place.
        "RANKGR_PRECOMPUTE_CONCURRENCY": "4",
    } | broker.told()
    engine, told["RANKGR_PRECOMPUTE_ENGINE_URL"] = await serve("engine", told, start, client, eventually)
    doomed, _ = await serve("precompute", told, start, client, eventually)
    await serve("precompute", told, start, client, eventually)
    _t, trigger_url = await serve("trigger", told, start, client, eventually)
    _r, retrieval_url = await serve("retrieval", told, start, client, eventually)
    users = Users(client, trigger_url, retrieval_url, items_of(micro_bundle)[0], eventually)
    names = [f"user-{number}" for number in range(24)]
    for number in (1, 2):
        for name in names:
            await users.tell(name, number)
    # Held in mid-batch: the engine answers nobody while one of the two is killed.
    engine.process.send_signal(signal.SIGSTOP)
    for name in names:
        await users.tell(name, 3)
    await asyncio.sleep(0.5)
    doomed.end(signal.SIGKILL)
    engine.process.send_signal(signal.SIGCONT)
    for name in names:
        await users.wait_for(name, 3)
    for name in names:
        await users.look(name)
    assert users.went_back == []


# What clocks do has nothing to do with the broker: one kind is enough.
@pytest.mark.parametrize("broker", ["redis"], indirect=True)
@pytest.mark.parametrize("skew_ms", [10_000, -10_000], ids=["ahead", "behind"])
async def test_a_trigger_process_whose_clock_is_ten_seconds_off_is_served_like_any_other(
    broker: Broker,
    cache: EmbeddedRedis,
    start: Start,
    client: httpx.AsyncClient,
    eventually: Eventually,
    micro_bundle: Path,
    skew_ms: int,
) -> None:
    told = {"RANKGR_REDIS_URL": cache.url, "RANKGR_BUNDLE": str(micro_bundle)} | broker.told()
    _e, told["RANKGR_PRECOMPUTE_ENGINE_URL"] = await serve("engine", told, start, client, eventually)
    await serve("precompute", told, start, client, eventually)
    _r, retrieval_url = await serve("retrieval", told, start, client, eventually)
    item, stream = items_of(micro_bundle)[0], broker.stream()
    for number in (1, 2):
        trigger = TriggerRequested.model_validate(
            {
                "event_id": f"e-{number}",
                "user_id": "ann",
                "request_id": f"r-{number}",
                "accepted_at": time.time_ns() // 1_000_000 + skew_ms,
                "recent": [{"item_id": item, "behavior": "click", "timestamp": number}],
            }
        )
        await stream.publish(Topic.TRIGGERS, "ann", trigger.model_dump_json().encode())

        async def fresh(number: int = number) -> bool:
            page = await client.get(f"{retrieval_url}/retrieve/ann", params={"request_id": f"r-{number}"})
            assert (page.json()["age_ms"] or 0) >= 0
            return bool(page.json()["outcome"] == "fresh")

        await eventually(fresh, within_s=20.0)
    await stream.close()
