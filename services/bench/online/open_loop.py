"""A load generator whose requests come when they come, not when the last answer has arrived.

Latency counts from the moment a request was due: a server that stands still for a second is late for all that were due
meanwhile, which a closed loop does not see (coordinated omission).  Run as a process, so that it has a core for itself.
One thread, non-blocking sockets, no clock ticks; it gives way to the stores that share its core, and what it is late by
counts as latency.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

# A caller's own time-outs: for the whole, and for a free connection of its pool.  Without the second one, callers would
# queue before the server until all that is sent is late, and the server could do nothing about it.
GIVE_UP_S = 1.0
POOL_WAIT_S = 0.2
# Stores come first: in a shop they have cores of their own.
NICE = 5
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Offered:
    """How much is asked: requests per second with exponential gaps, over so many connections.

    A rate of 0 asks as fast as answers come, one request per connection: for the most that a server can do.
    """

    port: int
    rate: float
    seconds: float
    connections: int
    requests: Sequence[str]
    seed: int = 0


@dataclass(slots=True)
class Measured:
    """What came of it.  Latencies in milliseconds, of good answers, from the moment each was due.

    `late`: answered when nobody waited any more.  `given_up`: there was no free connection for it in time.
    """

    offered: int = 0
    good: int = 0
    refused: int = 0
    failed: int = 0
    late: int = 0
    given_up: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Counts and quantiles."""
        found = {name: value for name, value in asdict(self).items() if name != "latencies_ms"}
        ordered = sorted(self.latencies_ms)
        return found | {"p50_ms": quantile(ordered, 0.5), "p99_ms": quantile(ordered, 0.99)}


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share lies; 0 of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class _Connection:
    """One kept connection; `due_s` is when what is on it was due (None: it is free)."""

    __slots__ = ("due_s", "left", "received", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due_s: float | None = None
        self.received = b""
        self.left = -1

    def fileno(self) -> int:
        return self.socket.fileno()

    def begin(self, request: bytes, due_s: float) -> None:
        self.due_s, self.received, self.left = due_s, b"", -1
        self.socket.send(request)

    def read(self) -> int:
        """The status once the answer is whole, else 0; -1 where the server has hung up."""
        try:
            data = self.socket.recv(262_144)
        except BlockingIOError:
            return 0
        except OSError:
            return -1
        if not data:
            return -1
        if self.left >= 0:
            self.left -= len(data)
        else:
            self.received += data
            end = self.received.find(_END)
            if end < 0:
                return 0
            self.left = _length(self.received[:end]) - (len(self.received) - end - len(_END))
        return int(self.received[9:12]) if self.left <= 0 else 0


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class Generator:
    """Asks one server at one rate."""

    def __init__(self, offered: Offered) -> None:
        self._offered = offered
        self._draw = random.Random(offered.seed)
        self._requests = [request.encode() for request in offered.requests]
        self._poll = select.epoll()
        self._by_number: dict[int, _Connection] = {}
        self._free = deque(self._connect() for _ in range(offered.connections))
        self._busy: set[_Connection] = set()
        self._due: deque[float] = deque()
        self._measured = Measured()
        self._sent = 0

    def run(self) -> Measured:
        """Ask until the time is over, then wait for what is under way."""
        began = time.perf_counter()
        end, next_s = began + self._offered.seconds, began
        while (now := time.perf_counter()) < end or (self._busy and now < end + GIVE_UP_S):
            next_s = self._fall_due(now, next_s, end)
            if now < end:
                self._send(now)
            wait_s = max(0.0, min(next_s, end) - time.perf_counter()) if now < end else 0.01
            # epoll's own time-outs are whole milliseconds, select's are finer.
            select.select((self._poll,), (), (), wait_s)
            for number, _events in self._poll.poll(0):
                self._take(self._by_number[number])
        self._measured.failed += len(self._busy)
        self._measured.given_up += len(self._due)
        self._measured.seconds = self._offered.seconds
        self._poll.close()
        for connection in self._by_number.values():
            connection.socket.close()
        return self._measured

    def _fall_due(self, now: float, next_s: float, end: float) -> float:
        """Note what is due by now; when the next request will be."""
        if self._offered.rate == 0:
            due = len(self._free) if now < end else 0
            self._due.extend([now] * due)
            self._measured.offered += due
            return end
        while next_s <= now and next_s < end:
            self._due.append(next_s)
            self._measured.offered += 1
            next_s += self._draw.expovariate(self._offered.rate)
        return next_s

    def _send(self, now: float) -> None:
        while self._due and self._due[0] < now - POOL_WAIT_S:
            self._due.popleft()
            self._measured.given_up += 1
        while self._due and self._free:
            connection = self._free.popleft()
            self._sent += 1
            due_s = self._due.popleft()
            try:
                connection.begin(self._requests[self._sent % len(self._requests)], due_s)
            except OSError:
                self._again(connection)
            else:
                self._busy.add(connection)

    def _connect(self) -> _Connection:
        connection = _Connection(self._offered.port)
        self._by_number[connection.fileno()] = connection
        self._poll.register(connection.fileno(), select.EPOLLIN)
        return connection

    def _take(self, connection: _Connection) -> None:
        status = connection.read()
        if status == 0:
            return
        if connection.due_s is None:
            # Nobody asked: the server has hung up on a kept connection.
            self._free.remove(connection)
            self._replace(connection)
            return
        self._busy.discard(connection)
        if status < 0:
            self._again(connection)
            return
        took_s = time.perf_counter() - connection.due_s
        connection.due_s = None
        self._free.append(connection)
        if status in (200, 202) and took_s <= GIVE_UP_S:
            self._measured.good += 1
            self._measured.latencies_ms.append(1000 * took_s)
        elif status in (200, 202):
            self._measured.late += 1
        elif status in (429, 503):
            self._measured.refused += 1
        else:
            self._measured.failed += 1

    def _again(self, connection: _Connection) -> None:
        self._measured.failed += 1
        self._replace(connection)

    def _replace(self, connection: _Connection) -> None:
        del self._by_number[connection.fileno()]
        connection.socket.close()
        self._free.append(self._connect())


if __name__ == "__main__":
    os.nice(NICE)
    sys.stdout.write(json.dumps(Generator(Offered(**json.load(sys.stdin))).run().summary()))
