"""Starting and stopping: a port in use is one line, a signal drains, several apps share a loop."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from contracts.errors import BadBundle
from services.runtime.http import create_app
from services.runtime.lifecycle import Site, listen, one_line_errors, reserve, serve

PROGRAM = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from services.runtime.http import create_app
from services.runtime.lifecycle import run_app
from services.runtime.telemetry import configure_logging
async def ready(): pass
app = create_app("probe", ready=ready, metrics=CollectorRegistry())
@app.get("/slow")
async def slow():
    print("in flight", flush=True)
    await asyncio.sleep(0.5)
    return {"done": True}
@app.get("/bug")
async def bug():
    raise ZeroDivisionError("secret")
configure_logging("trigger")
run_app(app, "127.0.0.1", int(sys.argv[1]), name="trigger", drain_s=float(sys.argv[2]))
"""


@contextmanager
def process(port: int, drain_s: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port), str(drain_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def first_log(child: subprocess.Popen[str]) -> dict[str, object]:
    assert child.stderr is not None
    line: dict[str, object] = json.loads(child.stderr.readline())
    return line


async def ready() -> None:
    """Always."""


def some_app(lifespan_says: list[str] | None = None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if lifespan_says is None:
            raise RuntimeError("cannot start")
        lifespan_says.append("up")
        yield
        lifespan_says.append("down")

    return create_app("probe", ready=ready, metrics=CollectorRegistry(), lifespan=lifespan)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_request_in_flight_finish_and_exits_with_0(
    free_port: int, number: signal.Signals
) -> None:
    with process(free_port) as child:
        told = first_log(child)
        assert (told["event"], told["site"]) == ("serving", "trigger")
        url = str(told["url"])
        assert url == f"http://127.0.0.1:{free_port}"
        async with httpx.AsyncClient(base_url=url) as client:
            asking = asyncio.ensure_future(client.get("/slow"))
            assert child.stdout is not None
            assert await asyncio.to_thread(child.stdout.readline) == "in flight\n"
            child.send_signal(number)
            response = await asking
            assert response.json() == {"done": True}
            assert "server" not in response.headers
        assert await asyncio.to_thread(child.wait, 5) == 0


async def test_a_bug_is_logged_with_its_trace_on_one_line(free_port: int) -> None:
    with process(free_port) as child:
        url = str(first_log(child)["url"])
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/bug")).json()["error"] == "InternalError"
        logged = first_log(child)
        assert logged["level"] == "error"
        assert "ZeroDivisionError: secret" in str(logged["trace"])


def test_a_port_in_use_is_one_line_that_says_what_to_set() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with process(port) as child:
            _out, err = child.communicate(timeout=20)
    expected = f"rankgr trigger: port {port} on 127.0.0.1 is in use; set RANKGR_TRIGGER_PORT to another\n"
    assert (child.returncode, err) == (1, expected)


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_a_host_that_is_not_ours_is_one_line(host: str) -> None:
    with pytest.raises(SystemExit, match=r"^rankgr trigger: cannot listen on ") as caught:
        listen(host, 0, "trigger")
    assert "\n" not in str(caught.value)


async def test_several_apps_share_a_loop_and_stop_together(free_port: int) -> None:
    said: list[str] = []
    stop, started = asyncio.Event(), asyncio.Event()
    before = signal.getsignal(signal.SIGTERM)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        other = probe.getsockname()[1]
    sites = [Site(name, some_app(said), "127.0.0.1", at) for name, at in (("one", free_port), ("two", other))]
    serving = asyncio.ensure_future(serve(sites, stop=stop, started=started))
    async with asyncio.timeout(5):
        await started.wait()
    assert signal.getsignal(signal.SIGTERM) == before, "no signal handler was installed"
    async with httpx.AsyncClient() as client:
        for port in (free_port, other):
            assert (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
    stop.set()
    async with asyncio.timeout(5):
        await serving
    assert sorted(said) == ["down", "down", "up", "up"]


def test_an_app_that_cannot_start_ends_them_all_with_one_line(free_port: int) -> None:
    said: list[str] = []
    sites = [Site("good", some_app(said), "127.0.0.1", free_port), Site("bad", some_app(), "127.0.0.1", 0)]
    with pytest.raises(SystemExit, match=r"^rankgr bad: start-up failed; the log says why$"):
        asyncio.run(serve(sites, stop=asyncio.Event()))
    assert said in (["up", "down"], [])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", free_port)) != 0


def test_one_port_in_use_frees_the_others(free_port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        sites = [
            Site("one", some_app([]), "127.0.0.1", free_port),
            Site("two", some_app([]), "127.0.0.1", taken.getsockname()[1]),
        ]
        with pytest.raises(SystemExit, match="RANKGR_TWO_PORT"):
            asyncio.run(serve(sites, stop=asyncio.Event()))
    listen("127.0.0.1", free_port, "one").close()


def test_an_error_while_a_process_is_put_together_is_one_line() -> None:
    with (
        pytest.raises(SystemExit, match=r"^rankgr engine: popular.json is damaged$"),
        one_line_errors("engine"),
    ):
        raise BadBundle("popular.json\n is damaged")


def test_a_draining_process_sends_callers_away_and_answers_them_all(free_port: int) -> None:
    with process(free_port, drain_s=60.0) as child:
        assert first_log(child)["event"] == "serving"
        with httpx.Client(base_url=f"http://127.0.0.1:{free_port}") as client:
            assert client.get("/healthz").headers.get("connection") is None
            child.send_signal(signal.SIGTERM)
            assert first_log(child)["event"] == "draining"
            ready = client.get("/readyz")
            assert (ready.status_code, ready.json()["error"]) == (503, "Unavailable")
            for _ in range(3):
                # New connections too: a load balancer sends some until it has looked at /readyz.
                answer = client.get("/healthz")
                assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0


def test_a_reserved_port_is_given_to_nobody_but_its_process() -> None:
    with reserve("127.0.0.1", 0, "one") as held:
        port = held.getsockname()[1]
        for _ in range(2):
            # Its process may come, end and come again.
            with listen("127.0.0.1", port, "one") as listener, socket.create_connection(("127.0.0.1", port)) as caller:
                assert caller.getpeername() == listener.getsockname()
                with pytest.raises(SystemExit, match=f"port {port} on 127.0.0.1 is in use"):
                    reserve("127.0.0.1", port, "two")
        with socket.socket() as another, pytest.raises(OSError, match="in use"):
            another.bind(("127.0.0.1", port))
        # Nobody listens: who asks is refused, not kept waiting.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
