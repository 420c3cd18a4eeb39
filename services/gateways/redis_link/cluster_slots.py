"""Which node of a cluster has a key: the 16384 slots, as `CLUSTER SLOTS` tells them."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable

from services.gateways.redis_link.mux_connection import Reply
from services.runtime.redis_url import Address

SLOTS = 16384


def slot_of(key: bytes) -> int:
    """CRC16 of the key, or of what stands in its first braces."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def read_slots(reply: Reply, asked: Address) -> Iterable[tuple[range, Address]]:
    """Slots and the primary that has them.  A node that does not know its own host is the one that was asked."""
    for first, last, primary, *_replicas in reply:
        host = (primary[0] or b"").decode() or asked.host
        yield range(first, last + 1), Address(host, primary[1])


def redirection(reply: Reply) -> tuple[str, Address] | None:
    """(`MOVED` or `ASK`, where to) for the server's errors that say so."""
    kind, _, rest = str(reply).partition(" ")
    if kind not in ("MOVED", "ASK"):
        return None
    host, _, port = rest.partition(" ")[2].rpartition(":")
    return kind, Address(host.strip("[]"), int(port))
