"""`rankgr topics` and `rankgr dead-letters`, on both streams."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from services.gateways.event_stream.chosen import open_stream
from services.runtime.clock import SystemClock
from services.runtime.settings import StreamSettings
from tests.kafka_broker import KafkaBroker

from .command_line import Run

pytestmark = pytest.mark.redis


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    made = KafkaBroker.start()
    yield made
    made.kill()


@pytest.fixture(params=["redis", "kafka"])
def stream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, rankgr: Run) -> str:
    """Which stream there is; the environment says where."""
    if request.param == "redis":
        monkeypatch.setenv("RANKGR_STREAM_REDIS_URL", request.getfixturevalue("redis_url"))
    else:
        broker: KafkaBroker = request.getfixturevalue("broker")
        monkeypatch.setenv("RANKGR_KAFKA_BOOTSTRAP", broker.bootstrap)
        monkeypatch.setenv("RANKGR_KAFKA_PREFIX", "shop.")
        monkeypatch.setenv("RANKGR_KAFKA_SESSION_TIMEOUT_S", "1")
        monkeypatch.setenv("RANKGR_KAFKA_PUBLISH_WITHIN_MS", "5000")
        assert rankgr("topics", "create", "--partitions", 2).code == 0
    return str(request.param)


async def bury(*messages: tuple[str, str, bytes]) -> None:
    """Topic, key and payload of what a group could not process."""
    stream = open_stream(StreamSettings(), SystemClock())
    for topic, key, payload in messages:
        consumer = stream.consumer(topic, "precompute", "a")
        await stream.publish(topic, key, payload)
        [delivery] = await consumer.receive(1, 10.0)
        await consumer.bury(delivery, "BadMessage: no trigger")
        await consumer.close()
    await stream.close()


async def received(topic: str, group: str) -> list[bytes]:
    """What a group that was not there before gets."""
    stream = open_stream(StreamSettings(), SystemClock())
    consumer = stream.consumer(topic, group, "a")
    found: list[bytes] = []
    while batch := await consumer.receive(100, 4.0 if not found else 0.5):
        for delivery in batch:
            found.append(delivery.payload)
            await consumer.ack(delivery)
    await consumer.close()
    await stream.close()
    return found


def test_dead_letters_are_listed_and_replayed_once(rankgr: Run, stream: str) -> None:
    assert stream
    assert rankgr("dead-letters", "list", "--json").content() == {"dead_letters": []}
    assert "no dead letters" in rankgr("dead-letters", "list").out
    asyncio.run(bury(("triggers", "ann", b"\xff poison"), ("interactions", "bob", b"{}")))
    letters = rankgr("dead-letters", "list", "--json").content()["dead_letters"]
    assert {(one["topic"], one["key"], one["reason"], one["attempts"]) for one in letters} == {
        ("triggers", "ann", "BadMessage: no trigger", 1),
        ("interactions", "bob", "BadMessage: no trigger", 1),
    }
    only = rankgr("dead-letters", "list", "--topic", "triggers", "--json").content()["dead_letters"]
    assert [one["key"] for one in only] == ["ann"]
    assert "user bob" in rankgr("dead-letters", "list").out

    done = rankgr("dead-letters", "replay", "--topic", "triggers", "--json").content()
    assert done == {"replayed": 1, "passed_over": 1}
    assert asyncio.run(received("triggers", "late")) == [b"\xff poison"] * 2
    assert rankgr("dead-letters", "replay", "--json").content() == {"replayed": 1, "passed_over": 0}
    assert rankgr("dead-letters", "replay", "--json").content() == {"replayed": 0, "passed_over": 0}
    assert asyncio.run(received("interactions", "late")) == [b"{}"] * 2


def test_topics_are_made_once_and_stay_as_they_are(
    rankgr: Run, broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKGR_KAFKA_BOOTSTRAP", broker.bootstrap)
    first = rankgr("topics", "create", "--partitions", 3, "--json").content()["topics"]
    assert {one["name"] for one in first} == {"triggers", "interactions", "candidates", "samples", "dead-letters"}
    assert all(one["made"] and one["partitions"] == 3 for one in first)
    again = rankgr("topics", "create", "--partitions", 5, "--json").content()["topics"]
    assert not any(one["made"] or one["partitions"] != 3 for one in again)
    assert "was there" in rankgr("topics", "create").out


def test_without_kafka_there_are_no_topics_to_make(rankgr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANKGR_KAFKA_BOOTSTRAP", raising=False)
    assert "RANKGR_KAFKA_BOOTSTRAP" in rankgr("topics", "create").complaint()


@pytest.mark.parametrize("words", [("dead-letters", "list"), ("dead-letters", "replay")])
def test_a_stream_that_is_not_there_is_one_line(
    rankgr: Run, monkeypatch: pytest.MonkeyPatch, free_port: int, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RANKGR_STREAM_REDIS_URL", f"redis://127.0.0.1:{free_port}/0")
    assert f"127.0.0.1:{free_port}" in rankgr(*words).complaint()
