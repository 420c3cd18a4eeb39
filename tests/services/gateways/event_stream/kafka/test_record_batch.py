"""Our record batches against kafka-python's reader, our partitions against its partitioner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as reference_murmur2
from kafka.record.memory_records import MemoryRecords

from services.gateways.event_stream.kafka.record_batch import OVERHEAD, RECORD_OVERHEAD, record_batch, varint
from services.gateways.event_stream.murmur2 import murmur2, partition_of

MESSAGES = st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=9000)), min_size=1, max_size=20)


@given(MESSAGES, st.integers(0, 2**53))
def test_kafka_python_reads_what_we_wrote(messages: list[tuple[bytes, bytes]], now_ms: int) -> None:
    written = record_batch(messages, now_ms)
    records = MemoryRecords(written)
    batch = records.next_batch()
    assert batch.validate_crc()
    read = list(batch)
    assert [(one.key, one.value) for one in read] == messages
    assert [one.offset for one in read] == list(range(len(messages)))
    assert {one.timestamp for one in read} == {now_ms}
    assert records.next_batch() is None


@given(MESSAGES)
def test_a_batch_is_never_larger_than_its_parts_say(messages: list[tuple[bytes, bytes]]) -> None:
    most = OVERHEAD + sum(len(key) + len(value) + RECORD_OVERHEAD for key, value in messages)
    assert len(record_batch(messages, 1)) <= most


def test_an_empty_batch_is_none() -> None:
    with pytest.raises(ValueError, match="at least one"):
        record_batch([], 1)


@pytest.mark.parametrize(
    ("number", "bytes_"),
    [
        (0, b"\x00"),
        (63, b"\x7e"),
        (64, b"\x80\x01"),
        (4095, b"\xfe\x3f"),
        (4096, b"\x80\x40"),
        (2**20, b"\x80\x80\x80\x01"),
    ],
)
def test_varints_are_zigzag(number: int, bytes_: bytes) -> None:
    assert varint(number) == bytes_


@given(st.binary(max_size=600))
def test_murmur2_is_kafka_s(data: bytes) -> None:
    assert murmur2(data) == reference_murmur2(data)


@given(st.binary(max_size=130), st.integers(1, 200))
def test_a_key_has_one_partition_among_those_there_are(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (reference_murmur2(key) & 0x7FFFFFFF) % partitions
