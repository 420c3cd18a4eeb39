"""How long whoever asks Redis may have to wait."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RedisTimes:
    """How long a call may take: to connect, to be answered, to get a free one of `connections`.  Seconds.

    A request path cannot wait longer than this for a store that is down; consumers add their blocking time.
    """

    connect_s: float = 0.25
    answer_s: float = 0.25
    free_connection_s: float = 0.25
    connections: int = 64
