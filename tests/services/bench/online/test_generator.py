"""The load generator counts latency from when a request was due, and loses none; wrk's report is read as it is."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Unavailable
from services.bench.online.open_loop import Generator, Measured, Offered, quantile
from services.bench.online.wrk import read_report


class TinyServer:
    """Answers every request with `status` after `pause_s`, one at a time; its answers come in two pieces.

    It runs in a thread of its own, as the generator blocks.
    """

    def __init__(self, status: int, pause_s: float, hang_up_after: int | None) -> None:
        self._answer = (b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\nhe" % status, b"llo")
        self._pause_s = pause_s
        self._left = hang_up_after
        self._serving: set[asyncio.Task[None]] = set()
        self.port: Future[int] = Future()
        self.stop: Callable[[], object] = lambda: None

    async def run(self) -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        self.stop = lambda: loop.call_soon_threadsafe(stopped.set)
        self._turn = asyncio.Lock()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port.set_result(server.sockets[0].getsockname()[1])
        await stopped.wait()
        server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answered(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await reader.readuntil(b"\r\n\r\n")
        async with self._turn:
            await asyncio.sleep(self._pause_s)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                return False
        for piece in self._answer:
            writer.write(piece)
            await writer.drain()
        return True


@contextmanager
def tiny_server(status: int = 200, pause_s: float = 0.0, hang_up_after: int | None = None) -> Iterator[int]:
    """Its port."""
    server = TinyServer(status, pause_s, hang_up_after)
    thread = threading.Thread(target=lambda: asyncio.run(server.run()))
    thread.start()
    try:
        yield server.port.result(10)
    finally:
        server.stop()
        thread.join()


def asked(port: int, rate: float, connections: int = 8, seconds: float = 0.5) -> Measured:
    return Generator(Offered(port, rate, seconds, connections, ["GET / HTTP/1.1\r\n\r\n"])).run()


def test_every_request_is_accounted_for() -> None:
    with tiny_server() as port:
        found = asked(port, 400)
    assert found.offered == found.good + found.refused + found.failed + found.late + found.given_up
    assert found.good == len(found.latencies_ms) > 100
    assert min(found.latencies_ms) > 0


def test_refusals_are_no_good_answers() -> None:
    with tiny_server(status=429) as port:
        found = asked(port, 100)
    assert (found.good, found.failed) == (0, 0)
    assert found.refused > 20


def test_latency_counts_from_when_a_request_was_due() -> None:
    """A server that serves ten a second and is asked a hundred: those due early wait for those before them."""
    with tiny_server(pause_s=0.1) as port:
        found = asked(port, 100, connections=2)
    assert found.latencies_ms[-1] > 300
    assert found.offered == found.good + found.refused + found.failed + found.late + found.given_up
    assert found.given_up > 10


def test_a_server_that_hangs_up_costs_the_request_and_not_the_run() -> None:
    with tiny_server(hang_up_after=5) as port:
        began = time.monotonic()
        found = asked(port, 100)
        assert time.monotonic() - began < 10
    assert found.good == 5
    assert found.failed > 5


def test_without_a_rate_every_connection_asks_as_soon_as_it_is_answered() -> None:
    with tiny_server(pause_s=0.01) as port:
        found = asked(port, 0, connections=2)
    assert found.offered == found.good
    assert 5 < found.good <= 52


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([0.5, 0.99]))
def test_a_quantile_is_one_of_the_values_with_that_share_below(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = quantile(ordered, share)
    assert found in ordered
    assert sum(value < found for value in ordered) <= share * len(ordered)


REPORT = """Running 8s test @ http://127.0.0.1:7403/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.94ms    1.35ms  29.64ms   93.42%
    Req/Sec    21.84k     2.53k   26.20k    77.50%
  Latency Distribution
     50%  512.00us
     75%    3.10ms
     90%    3.85ms
     99%    1.20s
  87108 requests in 4.01s, 12.46MB read
{more}Requests/sec:  21747.69
Transfer/sec:      3.11MB
"""


def test_wrk_s_report_is_read_with_its_units_and_errors() -> None:
    clean = read_report(REPORT.format(more=""))
    assert (clean.rps, clean.p50_ms, clean.p99_ms, clean.errors, clean.answers) == (21747.69, 0.512, 1200.0, 0, 87108)
    more = "  Socket errors: connect 1, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 40\n"
    assert read_report(REPORT.format(more=more)).errors == 46
    with pytest.raises(Unavailable):
        read_report("something else")
