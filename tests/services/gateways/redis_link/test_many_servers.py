"""Behind Sentinels and on a cluster: the same adapters, real servers, a failover and a moved slot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from contracts.errors import StoreDown, StreamDown
from contracts.ids import EventId, RequestId, UserId
from contracts.messages import Topic
from services.gateways.event_stream.in_redis import RedisEventStream
from services.gateways.redis_link import RedisTimes
from services.gateways.redis_link.clients import connect_redis
from services.gateways.redis_link.cluster_slots import slot_of
from services.gateways.redis_link.failing import failing_as
from services.gateways.redis_link.link_errors import LinkFailed
from services.gateways.redis_link.mux import MuxRedis
from services.gateways.redis_link.resp import command
from services.gateways.trigger_ledger.in_redis import RedisTriggerLedger
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import free_port

from .servers import Servers, SmallCluster, WatchedPair, client

pytestmark = pytest.mark.redis

Eventually = Callable[..., Awaitable[None]]
# Servers of a test share two cores with whatever else runs: what is tested here is the way, not the time.
TIMES = RedisTimes(connect_s=1.0, answer_s=1.0)
USER, ONE = UserId("a}b{c"), RequestId("r-1")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("servers"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def cluster(servers: Servers) -> SmallCluster:
    return SmallCluster.start(servers)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[WatchedPair]:
    made = Servers(tmp_path)
    yield WatchedPair.start(made)
    made.stop()


async def test_a_cluster_answers_for_keys_on_all_its_nodes(cluster: SmallCluster) -> None:
    mux = MuxRedis.connect(cluster.url, TIMES)
    keys = [b"rankgr:test:{%d}" % n for n in range(60)]
    assert len({slot_of(key) // 5462 for key in keys}) == 3, "the keys are spread"
    await asyncio.gather(*(mux.ask(key, command(b"SET", key, key)) for key in keys))
    assert await asyncio.gather(*(mux.ask(key, command(b"GET", key)) for key in keys)) == keys
    assert sum(client(port).dbsize() for port in cluster.ports) >= 60
    await mux.close()


def test_slots_are_those_of_the_server(cluster: SmallCluster) -> None:
    for key in (b"", b"a", b"{}x", b"{x}y{z}", b"a{b}c", b"}{", "rankgr:{\u00fc}".encode()):
        assert slot_of(key) == client(cluster.ports[0]).execute_command("CLUSTER", "KEYSLOT", key)


async def test_a_slot_that_moves_is_followed(cluster: SmallCluster) -> None:
    mux = MuxRedis.connect(cluster.url, TIMES)
    key = b"{0}moved"
    await mux.ask(key, command(b"SET", key, b"before"))
    nodes = {port: client(port).execute_command("CLUSTER", "MYID").decode() for port in cluster.ports}
    slot = slot_of(key)
    old = cluster.ports[slot * 3 // 16384]
    new = next(port for port in cluster.ports if port != old)
    client(new).execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", nodes[old])
    client(old).execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", nodes[new])
    fresh = b"{0}not-there-yet"
    await mux.ask(fresh, command(b"SET", fresh, b"asked"))
    # ASK led to the node that takes the slot over.
    assert fresh not in client(old).execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
    while names := client(old).execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
        for name in names:
            client(old).execute_command("MIGRATE", "127.0.0.1", new, name, 0, 1000)
    for port in cluster.ports:
        client(port).execute_command("CLUSTER", "SETSLOT", slot, "NODE", nodes[new])
    assert await mux.ask(key, command(b"GET", key)) == b"before"
    together = command(b"MULTI") + command(b"GET", key) + command(b"GET", fresh) + command(b"EXEC")
    assert (await mux.ask(key, together, 4))[-1] == [b"before", b"asked"]
    await mux.close()


async def test_ledger_and_stream_work_on_a_cluster(cluster: SmallCluster) -> None:
    ledger = RedisTriggerLedger.connect(cluster.url, times=TIMES)
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    await ledger.published(USER, ONE)
    assert await ledger.newest(USER) == 100
    waiting = asyncio.ensure_future(ledger.wait_settled(USER, None, 10.0))
    await asyncio.wait([waiting], timeout=0.2)
    assert not waiting.done()
    await ledger.settled(USER, ONE)
    await asyncio.wait_for(waiting, 5.0)
    await ledger.close()
    stream = RedisEventStream.connect(cluster.url, SystemClock(), times=TIMES)
    await stream.publish(Topic.TRIGGERS, "u", b"payload")
    consumer = stream.consumer(Topic.TRIGGERS, "g", "m")
    [delivery] = await consumer.receive(1, 5.0)
    assert delivery.payload == b"payload"
    await consumer.ack(delivery)
    await consumer.close()
    await stream.close()


async def test_nodes_that_are_down_are_said_without_a_password() -> None:
    for url in ("redis+cluster://:hunter2@127.0.0.1:1", "redis+sentinel://:hunter2@127.0.0.1:1/shop"):
        redis = connect_redis(url, TIMES)
        with pytest.raises(StoreDown, match=r"127\.0\.0\.1:1: cannot connect") as caught, failing_as(StoreDown, url):
            await redis.ping()
        assert "hunter2" not in str(caught.value)
        await redis.aclose()
        mux = MuxRedis.connect(url, TIMES)
        with pytest.raises(LinkFailed):
            await mux.ping()
        await mux.close()
    stream = RedisEventStream.connect("redis+cluster://127.0.0.1:1", SystemClock(), times=TIMES)
    with pytest.raises(StreamDown):
        await stream.publish(Topic.TRIGGERS, "u", b"x")
    await stream.close()


async def test_a_sentinel_that_is_silent_and_one_that_knows_nothing_cost_one_connection_at_most(
    pair: WatchedPair, tmp_path: Path
) -> None:
    others = Servers(tmp_path / "others")
    silent, new = free_port(), free_port()
    others.start(silent, "--sentinel", config="")
    others.start(new, "--sentinel", config="")
    try:
        others.freeze(silent)
        places = ",".join(f"127.0.0.1:{port}" for port in (silent, new, pair.sentinel))
        for _ in range(3):
            mux = MuxRedis.connect(f"redis+sentinel://{places}/shop", TIMES)
            await mux.ping()
            await mux.close()
        nobody = MuxRedis.connect(f"redis+sentinel://{places}/nobody", TIMES)
        with pytest.raises(LinkFailed):
            await nobody.ping()
        await nobody.close()
    finally:
        others.stop()


async def test_a_primary_that_its_sentinels_believe_to_be_gone_is_not_asked(
    pair: WatchedPair, eventually: Eventually
) -> None:
    pair.servers.kill(pair.replica)
    pair.servers.kill(pair.primary)

    async def believed_gone() -> bool:
        said = client(pair.sentinel).execute_command("SENTINEL", "MASTER", "shop")
        return "down" in str(said)

    await eventually(believed_gone, within_s=20.0)
    mux = MuxRedis.connect(pair.url, TIMES)
    with pytest.raises(LinkFailed):
        await mux.ping()
    await mux.close()


async def test_a_new_primary_is_found_by_itself(pair: WatchedPair, eventually: Eventually) -> None:
    mux = MuxRedis.connect(pair.url, TIMES)
    ledger = RedisTriggerLedger.connect(pair.url, times=TIMES)
    await mux.ask(b"", command(b"SET", b"k", b"v"))
    await ledger.announce(USER, ONE, EventId("e-1"), 100)
    pair.servers.kill(pair.primary)

    async def works_again() -> bool:
        try:
            await mux.ask(b"", command(b"SET", b"k", b"w"))
            await ledger.announce(USER, RequestId("r-2"), EventId("e-2"), 200)
        except (LinkFailed, StoreDown):
            return False
        return True

    await eventually(works_again, within_s=30.0)
    assert client(pair.replica).get("k") == b"w"
    await mux.close()
    await ledger.close()
