"""The partition of a key, as Java's clients, Kafka Streams and Flink choose it: one user, one partition, everywhere."""

from __future__ import annotations

from struct import unpack_from

_M = 0x5BD1E995
_WORD = 0xFFFFFFFF
_SEED = 0x9747B28C


def murmur2(data: bytes) -> int:
    """Murmur2 of 32 bits with Kafka's seed."""
    length = len(data)
    whole = length >> 2
    found = _SEED ^ length
    for k in unpack_from(f"<{whole}I", data):
        k = k * _M & _WORD
        k ^= k >> 24
        found = (found * _M & _WORD) ^ (k * _M & _WORD)
    if tail := data[whole << 2 :]:
        found = (found ^ int.from_bytes(tail, "little")) * _M & _WORD
    found ^= found >> 13
    found = found * _M & _WORD
    return found ^ found >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """0 to `partitions` - 1."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
