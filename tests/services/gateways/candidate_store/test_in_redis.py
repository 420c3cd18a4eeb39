"""What the candidate store in Redis must bear: outages, foreign values, its promised size."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import redis

from contracts.candidate_set import Candidate, CandidateSet
from contracts.errors import StoreDown
from contracts.ids import ItemId, RequestId, UserId
from services.gateways.candidate_store.in_redis import RedisCandidateStore
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions

pytestmark = pytest.mark.redis

StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]
USER = UserId("42")


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisCandidateStore]:
    made = RedisCandidateStore.connect(redis_url)
    yield made
    await made.close()


def full_set(triggered_at: int, items: int = 1400) -> CandidateSet:
    candidates = tuple(Candidate(ItemId(2**40 + n), -n / 8, (n % 256, n // 256)) for n in range(items))
    request = RequestId("0" * 36)
    return CandidateSet(USER, request, triggered_at, triggered_at, "m" * 64, "c" * 64, candidates)


async def test_1400_two_level_items_take_at_most_25_kilobytes(store: RedisCandidateStore, redis_url: str) -> None:
    await store.put(full_set(1_763_769_600_000))
    with redis.Redis.from_url(redis_url) as client:
        used = client.memory_usage("rankgr:candidates:{42}", samples=0)
    assert used is not None
    assert used <= 25_000


async def test_a_reader_sees_one_whole_list_whatever_is_put_meanwhile(store: RedisCandidateStore) -> None:
    """Lengths tell the lists apart; a page torn between two of them would disagree with its own head."""
    await store.put(full_set(0, items=100))
    stop = asyncio.Event()

    async def keep_putting() -> None:
        number = 1
        while not stop.is_set():
            await store.put(full_set(number, items=100 + number % 50))
            number += 1

    putting = asyncio.ensure_future(keep_putting())
    for _ in range(200):
        page = await store.page(USER, 90, 100)
        assert page is not None
        assert len(page.items) == page.head.length - 90
        assert page.head.length == 100 + page.head.triggered_at % 50
    stop.set()
    await putting


async def test_a_value_that_is_no_list_counts_as_none_and_is_overwritten(
    store: RedisCandidateStore, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for foreign in (b"", b"RGR", b"x" * 5000, b"RGRc\x02" + b"\xff" * 300):
            client.set("rankgr:candidates:{42}", foreign)
            assert await store.page(USER, 0, 5) is None
            assert await store.page(USER, 5, 5) is None
    assert await store.put(full_set(1))
    assert await store.page(USER, 0, 5) is not None


async def test_a_damaged_list_is_no_list_or_a_shorter_one_and_never_an_error(
    store: RedisCandidateStore, redis_url: str
) -> None:
    await store.put(full_set(1, items=20))
    draw = random.Random(7)
    with redis.Redis.from_url(redis_url) as client:
        whole = client.get("rankgr:candidates:{42}")
        for _ in range(300):
            damaged = bytearray(whole[: draw.choice((len(whole), draw.randrange(len(whole))))])
            for _turned in range(draw.randrange(4)):
                # The header's fixed part and its texts: the rest is items.
                if damaged:
                    damaged[draw.randrange(min(len(damaged), 45))] = draw.randrange(256)
            client.set("rankgr:candidates:{42}", bytes(damaged))
            for offset in (0, 7):
                page = await store.page(USER, offset, 5)
                assert page is None or len(page.items) <= 5
            await store.previous_page(USER, 0, 5)


async def test_a_key_of_another_type_is_store_down(store: RedisCandidateStore, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.lpush("rankgr:candidates:{42}", "x")
    with pytest.raises(StoreDown, match="WRONGTYPE"):
        await store.page(USER, 0, 5)


async def test_every_call_raises_store_down_quickly_while_the_server_is_down_and_works_again_after(
    own_redis: StartRedis, tmp_path: Path, eventually: Callable[..., Awaitable[None]]
) -> None:
    server = own_redis(tmp_path, ServerOptions())
    store = RedisCandidateStore.connect(server.url)
    await store.put(full_set(1))
    server.kill()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.put(full_set(2)),
        lambda: store.head(USER),
        lambda: store.page(USER, 0, 1),
        lambda: store.page(USER, 5, 1),
        lambda: store.page_of(USER, "1-1", 0, 1),
        store.ping,
    ]
    began = time.monotonic()
    for call in calls:
        with pytest.raises(StoreDown, match=rf"^redis at 127\.0\.0\.1:{server.port}: "):
            await call()
    assert time.monotonic() - began < 0.3 * len(calls)
    own_redis(tmp_path, ServerOptions(port=server.port))

    async def is_back() -> bool:
        try:
            await store.ping()
        except StoreDown:
            return False
        return True

    await eventually(is_back)
    assert await store.head(USER) is None
    assert await store.put(full_set(1))
    await store.close()


async def test_a_password_is_never_in_an_error(redis_server: EmbeddedRedis) -> None:
    for url in (
        f"redis://:hunter2%21@127.0.0.1:{redis_server.port}/0",
        "redis://user:hunter2%21@127.0.0.1:1/0",
    ):
        store = RedisCandidateStore.connect(url)
        with pytest.raises(StoreDown) as caught:
            await store.ping()
        assert "hunter2" not in str(caught.value)
        await store.close()
