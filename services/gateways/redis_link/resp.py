"""Commands as the server reads them (RESP 2).  Replies are read by hiredis."""

from __future__ import annotations

Part = bytes | int


def command(*parts: Part) -> bytes:
    """One command."""
    chunks = [b"*%d\r\n" % len(parts)]
    for part in parts:
        text = b"%d" % part if isinstance(part, int) else part
        chunks.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(chunks)


def shape(*fixed: bytes, open_parts: int) -> bytes:
    """A command whose last parts are left open, as a format: `shape(b"GET", open_parts=1) % (len(key), key)`.

    For commands that are sent with every request: filling in a shape takes a fifth of the time of `command`.
    """
    head = b"*%d\r\n" % (len(fixed) + open_parts)
    parts = b"".join(b"$%d\r\n%b\r\n" % (len(part), part.replace(b"%", b"%%")) for part in fixed)
    return head + parts + b"$%d\r\n%b\r\n" * open_parts


def getrange(key: bytes, first: int, last: int) -> bytes:
    """GETRANGE, the hottest of all: the same as `command` in a third of the time."""
    one, two = b"%d" % first, b"%d" % last
    parts = (len(key), key, len(one), one, len(two), two)
    return b"*4\r\n$8\r\nGETRANGE\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % parts
