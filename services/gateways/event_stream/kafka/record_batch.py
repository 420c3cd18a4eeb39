"""Messages as one record batch of Kafka's format 2, uncompressed; the publisher sends one per partition.

kafka-python's producer takes 35 to 55 us of CPU per record for what takes 2 us here (docs/performance.md): its records
pass a lock, three futures and a buffer each.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from kafka.record.util import calc_crc32c

Message = tuple[bytes, bytes]
"""Key and value."""

OVERHEAD = 61
"""Bytes of a batch beside its records."""

RECORD_OVERHEAD = 24
"""Bytes of a record beside key and value, at most."""

# Base offset, length, leader epoch, magic, checksum; the checksum covers all that follows it.
_HEAD = Struct(">qiibI")
# Attributes, last offset, first and last time, producer (none), its epoch and sequence, number of records.
_REST = Struct(">hiqqqhii")
_LENGTH_COUNTS_FROM = 12
_MAGIC = 2
_SMALL = 4096


def _varint(number: int) -> bytes:
    """A non-negative number as a zigzag varint."""
    left = number << 1
    out = bytearray()
    while left > 0x7F:
        out.append(0x80 | left & 0x7F)
        left >>= 7
    out.append(left)
    return bytes(out)


# Nearly every length and offset is small.
_VARINTS = tuple(_varint(number) for number in range(_SMALL))


def varint(number: int) -> bytes:
    """The same, looked up where it can be."""
    return _VARINTS[number] if number < _SMALL else _varint(number)


def record_batch(messages: Sequence[Message], now_ms: int) -> bytes:
    """All messages with the same time, in order.  ValueError for none."""
    if not messages:
        raise ValueError("a batch holds at least one record")
    parts: list[bytes] = []
    for offset, (key, value) in enumerate(messages):
        # Attributes, time delta; at the end no headers.
        record = b"\0\0%b%b%b%b%b\0" % (varint(offset), varint(len(key)), key, varint(len(value)), value)
        parts += (varint(len(record)), record)
    count = len(messages)
    rest = _REST.pack(0, count - 1, now_ms, now_ms, -1, -1, -1, count) + b"".join(parts)
    length = _HEAD.size - _LENGTH_COUNTS_FROM + len(rest)
    return _HEAD.pack(0, length, -1, _MAGIC, calc_crc32c(rest)) + rest
