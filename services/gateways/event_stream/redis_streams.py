"""What publisher and consumers on Redis Streams share: the keys, and how long a member blocks."""

from __future__ import annotations

BLOCK_S = 0.5
"""The longest blocking read: what falls due meanwhile is noticed after this time."""

PATIENCE_S = 2.0
"""How much longer than a publisher a member waits for a slow server, since nobody waits for the member: messages
handed to a connection that was given up come again only after `retry_after_s`."""


def stream_key(topic: str) -> str:
    """The topic's key."""
    return f"rankgr:stream:{topic}"
