"""Sockets for kafka-python that are closed when their connection cannot be made.

kafka-python 3.0 leaves them to the garbage collector: while a broker is away for an hour, the process would run out of
file descriptors.  `place` names this class by its scheme, which is how kafka-python lets one choose a way to connect.
"""

from __future__ import annotations

from typing import Any

from kafka.net.inet import KafkaNetSocket

SCHEME = "rankgr-direct"


class ClosedOnFailure(KafkaNetSocket):  # type: ignore[misc]  # kafka-python has no types
    """A plain connection."""

    SCHEMES = (SCHEME,)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:  # noqa: ANN401
        """Connect, or close and raise."""
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise
