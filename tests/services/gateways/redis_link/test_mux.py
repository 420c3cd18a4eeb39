"""The shared connection: every caller gets its own answer, or an error in time; it heals by itself."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateways.redis_link import RedisTimes
from services.gateways.redis_link.link_errors import LinkFailed, Reason
from services.gateways.redis_link.mux import MuxRedis, Script
from services.gateways.redis_link.resp import command
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions, free_port

pytestmark = pytest.mark.redis

StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]
Eventually = Callable[..., Awaitable[None]]
# Wide enough for a busy machine; what must happen in time is measured against it.
ANSWER_S = 0.2
TIMES = RedisTimes(connect_s=ANSWER_S, answer_s=ANSWER_S)


@dataclass
class Counted:
    """A watch that remembers."""

    failures: list[Reason] = field(default_factory=list)
    turns: list[bool] = field(default_factory=list)

    def failed(self, reason: Reason) -> None:
        self.failures.append(reason)

    def turned(self, *, opened: bool) -> None:
        self.turns.append(opened)


@asynccontextmanager
async def linked(url: str, watch: Counted | None = None) -> AsyncIterator[MuxRedis]:
    mux = MuxRedis.connect(url, TIMES, watch=watch)
    try:
        yield mux
    finally:
        await mux.close()


@contextmanager
def frozen(server: EmbeddedRedis) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def get(key: str) -> bytes:
    return command(b"GET", key.encode())


async def test_many_callers_at_once_each_get_their_own_answer(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.mset({f"k{n}": f"v{n}" * (n % 50 + 1) for n in range(1000)})
    async with linked(redis_url) as mux:
        answers = await asyncio.gather(*(mux.ask(b"", get(f"k{n}")) for n in range(1000)))
        assert answers == [f"v{n}".encode() * (n % 50 + 1) for n in range(1000)]


async def test_several_commands_stand_together(redis_url: str) -> None:
    async with linked(redis_url) as mux:
        together = command(b"SET", b"a", 1) + command(b"INCR", b"a") + command(b"GET", b"a")
        one, two = await asyncio.gather(mux.ask(b"", together, 3), mux.ask(b"", get("none")))
        assert (one, two) == ([b"OK", 2, b"2"], None)


async def test_an_error_of_the_server_is_the_callers_alone(redis_url: str) -> None:
    async with linked(redis_url) as mux:
        bad, good = await asyncio.gather(
            mux.ask(b"", command(b"LPUSH", b"x")), mux.ask(b"", command(b"PING")), return_exceptions=True
        )
        assert isinstance(bad, LinkFailed)
        assert bad.reason is Reason.REFUSED
        assert good == b"PONG"


async def test_a_script_is_sent_where_the_server_does_not_know_it(redis_url: str) -> None:
    script = Script.of("return {KEYS[1], ARGV[1]}")
    async with linked(redis_url) as mux:
        for _ in range(2):
            assert await mux.run(script, [b"k"], [7]) == [b"k", b"7"]
            with redis.Redis.from_url(redis_url) as client:
                client.script_flush()


async def test_a_cut_connection_costs_no_answer(redis_url: str) -> None:
    watch = Counted()
    async with linked(redis_url, watch) as mux:
        await mux.ping()
        with redis.Redis.from_url(redis_url) as client:
            client.client_kill_filter(_type="normal", skipme=True)
        await mux.ping()
        asked = [asyncio.ensure_future(mux.ask(b"", command(b"CLIENT", b"ID"))) for _ in range(3)]
        assert len(set(await asyncio.gather(*asked))) == 1
    assert watch.turns == []


async def test_a_frozen_server_costs_one_timeout_and_then_nothing_until_it_is_back(
    own_redis: StartRedis, tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server, watch = own_redis(tmp_path, ServerOptions()), Counted()
    async with linked(server.url, watch) as mux:
        await mux.ping()
        with frozen(server):
            began = time.monotonic()
            while True:
                with pytest.raises(LinkFailed) as caught:
                    await mux.ping()
                if caught.value.reason is Reason.OPEN:
                    break
                assert caught.value.reason is Reason.TIMEOUT
            assert time.monotonic() - began < 1.0 + 2 * ANSWER_S, "open in under a second, on a busy machine"
            began = time.monotonic()
            for _ in range(100):
                with pytest.raises(LinkFailed):
                    await mux.ping()
            assert time.monotonic() - began < ANSWER_S, "nobody waits while it is open"

        async def closed() -> bool:
            return watch.turns == [True, False]

        await eventually(closed)
        await mux.ping()
    lines = [record for record in caplog.records if record.name.startswith("services.gateways.redis_link")]
    assert [line.levelname for line in lines] == ["WARNING", "INFO"], "one line each, however many calls failed"
    assert {vars(line)["place"] for line in lines} == {f"127.0.0.1:{server.port}"}


async def test_what_timed_out_is_never_sent_again(own_redis: StartRedis, tmp_path: Path) -> None:
    server = own_redis(tmp_path, ServerOptions())
    async with linked(server.url) as mux:
        await mux.ping()
        with frozen(server), pytest.raises(LinkFailed, match="no answer in time"):
            await mux.ask(b"", command(b"INCR", b"n"))
    with redis.Redis(port=server.port) as client:
        assert int(client.get("n") or 0) <= 1


async def test_a_killed_server_is_unreachable_at_once_and_found_again(
    own_redis: StartRedis, tmp_path: Path, eventually: Eventually
) -> None:
    server = own_redis(tmp_path, ServerOptions())
    async with linked(server.url) as mux:
        await mux.ping()
        server.kill()
        began = time.monotonic()
        for _ in range(10):
            with pytest.raises(LinkFailed):
                await mux.ping()
        assert time.monotonic() - began < 1.0
        own_redis(tmp_path, ServerOptions(port=server.port))

        async def answers() -> bool:
            try:
                await mux.ping()
            except LinkFailed:
                return False
            return True

        await eventually(answers)


async def test_nobody_listening_is_one_failure_for_all_who_ask() -> None:
    seen = Counted()
    async with linked(f"redis://127.0.0.1:{free_port()}/0", seen) as mux:
        answers = await asyncio.gather(*(mux.ping() for _ in range(20)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {LinkFailed}
    assert seen.failures == [Reason.UNREACHABLE]


async def test_a_stall_of_our_own_is_not_taken_for_the_server_s(redis_url: str) -> None:
    watch = Counted()
    async with linked(redis_url, watch) as mux:
        await mux.ping()
        asked = asyncio.ensure_future(mux.ping())
        # Twice: the first turn of the loop sends it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(2 * ANSWER_S)  # noqa: ASYNC251 - the stall is what is tested
        await asked
    assert watch.failures == []


async def test_a_server_with_a_wrong_password_is_refused_and_quoted_without_it(redis_url: str) -> None:
    url = redis_url.replace("redis://", "redis://:hunter2@")
    async with linked(url) as mux:
        with pytest.raises(LinkFailed) as caught:
            await mux.ping()
    assert caught.value.reason is Reason.REFUSED
    assert "hunter2" not in str(caught.value)


async def test_a_database_is_selected(redis_url: str) -> None:
    url = redis_url.removesuffix("/0") + "/5"
    async with linked(url) as mux:
        await mux.ask(b"", command(b"SET", b"x", b"y"))
    with redis.Redis.from_url(url) as client:
        assert client.get("x") == b"y"
        client.flushdb()


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    drop_after=st.none() | st.integers(0, 30),
    callers=st.integers(1, 30),
    nonsense=st.booleans(),
)
def test_whatever_a_server_does_nobody_gets_anothers_answer(
    cuts: list[int], drop_after: int | None, callers: int, nonsense: bool
) -> None:
    """A server that cuts its answers anywhere, hangs up after some, or talks nonsense."""
    asyncio.run(_echoed(cuts, drop_after, callers, nonsense))


@dataclass
class EchoServer:
    """Echoes what it is told, cut into pieces; after some echoes it hangs up in the middle of one."""

    cuts: list[int]
    drop_after: int | None
    last_words: bytes
    echoed: int = 0
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while words := await _read_command(reader):
                self.echoed += words[0] == b"ECHO"
                if words[0] == b"ECHO" and self.drop_after is not None and self.echoed > self.drop_after:
                    writer.write(self.last_words)
                    break
                answer = b"$%d\r\n%b\r\n" % (len(words[-1]), words[-1])
                for cut in self.cuts:
                    writer.write(answer[:cut])
                    await writer.drain()
                    answer = answer[cut:]
                writer.write(answer)
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _read_command(reader: asyncio.StreamReader) -> list[bytes]:
    line = await reader.readline()
    words = []
    for _ in range(int(line[1:] or 0)):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


async def _echoed(cuts: list[int], drop_after: int | None, callers: int, nonsense: bool) -> None:
    echo = EchoServer(cuts, drop_after, b"?what\r\n" if nonsense else b"$5\r\nab")
    server = await asyncio.start_server(echo.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    mux = MuxRedis.connect(f"redis://127.0.0.1:{port}/0", RedisTimes(connect_s=2.0, answer_s=2.0))
    asked = [mux.ask(b"", command(b"ECHO", b"caller %d" % n)) for n in range(callers)]
    for number, answer in enumerate(await asyncio.gather(*asked, return_exceptions=True)):
        if isinstance(answer, LinkFailed):
            assert drop_after is not None, answer
            assert answer.reason is not Reason.TIMEOUT
        else:
            assert answer == b"caller %d" % number
    await mux.close()
    server.close()
    await asyncio.gather(*echo.serving)
    await server.wait_closed()
