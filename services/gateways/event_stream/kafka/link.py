"""kafka-python's connections to one cluster, driven by their own thread and awaited from ours.

The publisher stands on it.  It knows requests and leaders, and nothing of events.  kafka-python's own producer is not
used: see record_batch.py for what it costs; it also sets no bound to what it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from kafka import errors as kafka_errors
from kafka.future import Future
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import MetadataRequest, MetadataResponse
from kafka.protocol.producer import ProduceRequest

from services.gateways.event_stream.kafka.place import KafkaPlace

FAILURES = (kafka_errors.KafkaError, OSError, RuntimeError)
"""What a call may raise; RuntimeError where the thread has ended."""

ALL_REPLICAS = -1
# The newest form of the request that names topics by name, and the oldest that every broker since Kafka 2.1 takes.
_PRODUCE_VERSIONS = (7, 9)
_METADATA_VERSIONS = (4, 9)


T = TypeVar("T")

Outcome = type[kafka_errors.KafkaError] | None
"""What a broker said of a batch: None where all replicas in sync have it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A record batch for one partition."""

    topic: str
    partition: int
    records: bytes


class KafkaLink:
    """Connects in the background on the first call, and again after every failure."""

    def __init__(self, place: KafkaPlace, *, request_s: float) -> None:
        self._place = place
        self._request_ms = round(request_s * 1000)
        self._net: Any = None
        self._manager: Any = None

    async def leaders(self, topics: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Per topic, the node that leads each of its partitions, -1 where none does now.

        Raises kafka-python's errors, UnknownTopicOrPartitionError for a topic that is not there.
        """
        return await self._on_io_thread(self._leaders, topics)

    async def produce(self, node: int, batches: list[Batch]) -> list[Outcome]:
        """What became of each batch.  Raises kafka-python's errors where the request itself failed."""
        return await self._on_io_thread(self._produce, node, batches)

    async def close(self) -> None:
        """End the connections and the thread."""
        if self._net is None:
            return
        net, manager = self._net, self._manager
        self._net = self._manager = None
        with suppress(kafka_errors.KafkaError, RuntimeError):
            await _bridged(manager.call_soon(manager.close))
        await asyncio.to_thread(net.close)

    async def _on_io_thread(self, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        if self._net is None:
            configs = {**self._place.configs(), "request_timeout_ms": self._request_ms}
            self._net = NetworkSelector(**configs)
            self._manager = KafkaConnectionManager(self._net, **configs)
            self._net.start()
        found: T = await _bridged(self._manager.call_soon(work, *arguments))
        return found

    async def _leaders(self, topics: Sequence[str]) -> dict[str, tuple[int, ...]]:
        if not self._manager.bootstrapped:
            await self._manager.bootstrap_async(None, False)
        request = MetadataRequest(
            topics=[MetadataRequest.MetadataRequestTopic(name=topic) for topic in topics],
            # A topic made by accident would have one partition, and nobody would notice until it is too slow.
            allow_auto_topic_creation=False,
            include_cluster_authorized_operations=False,
            include_topic_authorized_operations=False,
            min_version=_METADATA_VERSIONS[0],
            max_version=_METADATA_VERSIONS[1],
        )
        response = await self._manager.send(request)
        if any(self._manager.cluster.broker_metadata(broker.node_id) is None for broker in response.brokers):
            # A broker that was not there before may lead: its address has to be known.
            await self._manager.cluster.request_update()
        return {one.name: _leaders_of(one) for one in response.topics}

    async def _produce(self, node: int, batches: list[Batch]) -> list[Outcome]:
        topic_data = ProduceRequest.TopicProduceData
        by_topic: dict[str, list[object]] = {}
        for batch in batches:
            data = topic_data.PartitionProduceData(index=batch.partition, records=batch.records)
            by_topic.setdefault(batch.topic, []).append(data)
        request = ProduceRequest(
            transactional_id=None,
            acks=ALL_REPLICAS,
            timeout_ms=self._request_ms,
            topic_data=[topic_data(name=name, partition_data=data) for name, data in by_topic.items()],
            min_version=_PRODUCE_VERSIONS[0],
            max_version=_PRODUCE_VERSIONS[1],
        )
        response = await self._manager.send(request, node_id=node)
        codes: Mapping[tuple[str, int], int] = {
            (topic.name, one.index): one.error_code for topic in response.responses for one in topic.partition_responses
        }
        return [_outcome(codes.get((batch.topic, batch.partition))) for batch in batches]


def _leaders_of(topic: MetadataResponse) -> tuple[int, ...]:
    error = kafka_errors.for_code(topic.error_code)
    if error is not kafka_errors.NoError:
        raise error(topic.name)
    leaders = {partition.partition_index: partition.leader_id for partition in topic.partitions}
    return tuple(leaders.get(number, -1) for number in range(len(leaders)))


def _outcome(code: int | None) -> Outcome:
    """None for success; no code at all is an answer that leaves a batch out."""
    outcome: Outcome = kafka_errors.KafkaProtocolError if code is None else kafka_errors.for_code(code)
    return None if outcome is kafka_errors.NoError else outcome


async def _bridged(theirs: Future) -> Any:  # noqa: ANN401 - kafka-python has no types
    """Await a future of kafka-python's, which its own thread settles."""
    loop = asyncio.get_running_loop()
    ours: asyncio.Future[Any] = loop.create_future()

    def settle(value: object, error: BaseException | None) -> None:
        if ours.done():
            return
        if error is None:
            ours.set_result(value)
        else:
            ours.set_exception(error)

    def tell(value: object, error: BaseException | None) -> None:
        # Our loop may have ended before their thread did.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, value, error)

    theirs.add_callback(lambda value: tell(value, None))
    theirs.add_errback(lambda error: tell(None, error))
    return await ours
