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
