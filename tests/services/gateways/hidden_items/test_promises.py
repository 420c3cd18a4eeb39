"""What every set of hidden items promises (its port.py), over memory and the real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis

from contracts.errors import BadRequest, StoreDown
from contracts.ids import INT64_MAX, INT64_MIN, ItemId
from services.gateways.hidden_items.in_memory import MemoryHiddenItems
from services.gateways.hidden_items.in_redis import RedisHiddenItems
from services.gateways.hidden_items.port import MAX_HIDDEN, NEVER_CHANGED, HiddenItems, HiddenSet, Version
from services.gateways.redis_link import RedisTimes
from services.runtime.embedded_redis import free_port

# What is promised here is what comes out, not when: the machine may be busy.
PATIENT = RedisTimes(connect_s=5.0, answer_s=5.0)
ONE, TWO, THREE = ItemId(1), ItemId(2), ItemId(3)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def items(request: pytest.FixtureRequest) -> AsyncIterator[HiddenItems]:
    made: HiddenItems
    if request.param == "memory":
        made = MemoryHiddenItems()
    else:
        made = RedisHiddenItems.connect(request.getfixturevalue("redis_url"), times=PATIENT)
    yield made
    await made.close()


async def test_at_first_nothing_is_hidden(items: HiddenItems) -> None:
    assert await items.read() == HiddenSet(NEVER_CHANGED, {})
    assert await items.version() == NEVER_CHANGED
    await items.ping()


async def test_items_are_hidden_and_shown_again(items: HiddenItems) -> None:
    assert await items.change({ONE: 0, TWO: 1_763_769_600_123}, []) == 2
    assert (await items.read()).since == {ONE: 0, TWO: 1_763_769_600_123}
    assert await items.change({THREE: 0}, [ONE, ItemId(99)]) == 2
    assert (await items.read()).since == {TWO: 1_763_769_600_123, THREE: 0}


async def test_an_item_that_is_hidden_and_shown_at_once_is_shown(items: HiddenItems) -> None:
    assert await items.change({ONE: 0, TWO: 0}, [ONE]) == 1


async def test_a_later_time_replaces_an_earlier_one(items: HiddenItems) -> None:
    await items.change({ONE: 0}, [])
    await items.change({ONE: 5}, [])
    assert (await items.read()).since == {ONE: 5}


async def test_every_change_has_a_version_of_its_own(items: HiddenItems) -> None:
    seen = []
    for _ in range(3):
        await items.change({ONE: 0}, [])
        seen.append(await items.version())
    assert [one.number for one in seen] == [1, 2, 3]
    assert len({one.born for one in seen}) == 1
    assert seen[0].born > 0
    assert (await items.read()).version == seen[-1]


async def test_any_item_id_can_be_hidden(items: HiddenItems) -> None:
    wide = {ItemId(INT64_MIN): 0, ItemId(INT64_MAX): 0, ItemId(0): 0}
    await items.change(wide, [])
    assert (await items.read()).since == wide


async def test_more_than_a_bound_cannot_be_hidden_and_then_nothing_changes(items: HiddenItems) -> None:
    for start in range(0, MAX_HIDDEN, 10_000):
        await items.change({ItemId(n): 0 for n in range(start, start + 10_000)}, [])
    with pytest.raises(BadRequest, match=str(MAX_HIDDEN)):
        await items.change({ItemId(-1): 0}, [])
    assert await items.change({ItemId(-1): 0}, [ItemId(0)]) == MAX_HIDDEN
    assert len((await items.read()).since) == MAX_HIDDEN


async def test_a_store_that_forgot_is_told_again_and_keeps_what_it_learnt_since(items: HiddenItems) -> None:
    await items.change({TWO: 9, THREE: 0}, [])
    born = (await items.version()).born
    known = HiddenSet(Version(born, 7), {ONE: 0, TWO: 5})
    await items.restore(known)
    after = await items.read()
    assert after.since == {ONE: 0, TWO: 9, THREE: 0}
    assert after.version == Version(born, 8)
    await items.restore(known)
    assert await items.read() == after, "who comes second changes nothing"


async def test_a_store_that_was_changed_often_since_it_forgot_is_told_all_the_same(items: HiddenItems) -> None:
    for _ in range(5):
        await items.change({THREE: 0}, [])
    later = await items.version()
    known = HiddenSet(Version(later.born - 1, 2), {ONE: 0})
    assert later.forgot(known.version)
    await items.restore(known)
    after = await items.read()
    assert after.since == {ONE: 0, THREE: 0}
    assert after.version == Version(later.born - 1, 6), "as old as what was known, and newer than both"
    await items.restore(HiddenSet(later, {TWO: 0}))
    await items.restore(HiddenSet(NEVER_CHANGED, {TWO: 0}))
    assert await items.read() == after, "nothing was forgotten of those"


@pytest.mark.redis
async def test_a_stranger_s_hand_in_the_set_keeps_nobody_from_reading_on(redis_url: str) -> None:
    items = RedisHiddenItems.connect(redis_url)
    await items.change({ONE: 0}, [])
    with redis.Redis.from_url(redis_url) as client:
        client.zadd("rankgr:{hidden-items}", {"a word": 0, "3": float("inf")})
        assert (await items.read()).since == {ONE: 0}
        client.set("rankgr:{hidden-items}:version", "a word")
        with pytest.raises(StoreDown, match="no version"):
            await items.version()
    await items.close()


@pytest.mark.redis
async def test_a_server_that_is_down_is_store_down() -> None:
    items = RedisHiddenItems.connect(f"redis://127.0.0.1:{free_port()}/0")
    for call in (items.version, items.read, items.ping):
        with pytest.raises(StoreDown):
            await call()
    await items.close()
