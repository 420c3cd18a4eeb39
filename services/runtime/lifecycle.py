"""From a bound port to the last drained request: main files call `run_app`, services/local calls `serve`.

Never decides what is served; never lets uvicorn touch signals, so that several apps share one loop.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.types import ASGIApp

from contracts.errors import RankGRError
from services.runtime.bounded_protocol import BoundedProtocol
from services.runtime.garbage import keep_what_is_here, look_seldom

GRACEFUL_S = 10
BACKLOG = 2048

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """An app and where it listens; port 0 takes any free one.  `name` is the one in `rankgr serve NAME`."""

    name: str
    app: ASGIApp
    host: str
    port: int


def run_app(app: ASGIApp, host: str, port: int, *, name: str, drain_s: float = 0.0) -> None:
    """Serve until SIGTERM or SIGINT, then send callers away for `drain_s`, and finish what is in flight.

    SystemExit with one line if it cannot be served at all.  A second signal ends the draining.
    """
    listener = listen(host, port, name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run_until_signal([(Site(name, app, host, port), listener)], drain_s))


async def serve(sites: Sequence[Site], *, stop: asyncio.Event, started: asyncio.Event | None = None) -> None:
    """Serve several apps in this loop until `stop`, then drain them all; installs no signal handler.

    Sets `started` when every app answers.  SystemExit with one line when a port cannot be bound or an app's
    start fails; then nothing goes on being served.
    """
    bound: list[tuple[Site, socket.socket]] = []
    try:
        bound.extend((site, listen(site.host, site.port, site.name)) for site in sites)
    except SystemExit:
        for _site, listener in bound:
            listener.close()
        raise
    await _serve_bound(bound, stop, started)


def listen(host: str, port: int, name: str) -> socket.socket:
    """A bound socket; SystemExit with one line that says what to change where the address cannot be had."""
    # Listening at once, so that of two processes started together the second one is told.
    return _bound(host, port, name, BACKLOG)


def reserve(host: str, port: int, name: str) -> socket.socket:
    """A socket on which nobody listens, for as long as it is open: the port is kept for a process of ours.

    `listen` there goes on working.  But the kernel gives a port that is bound to nobody who asks for any: neither to
    another listener nor to the near end of a connection.  SystemExit as `listen` has it, also where somebody listens.
    """
    held = _bound(host, port, name, None)
    try:
        listen(host, held.getsockname()[1], name).close()
    except SystemExit:
        held.close()
        raise
    return held


def _bound(host: str, port: int, name: str, backlog: int | None) -> socket.socket:
    change = f"set RANKGR_{name.upper()}_PORT to another"
    try:
        family, kind, protocol, _canonical, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SystemExit(f"rankgr {name}: cannot listen on host {host!r}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        if backlog is not None:
            listener.listen(backlog)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SystemExit(f"rankgr {name}: port {port} on {host} is in use; {change}") from None
        reason = error.strerror or str(error)
        raise SystemExit(f"rankgr {name}: cannot listen on {host} port {port}: {reason}; {change}") from None
    listener.setblocking(False)
    return listener


@contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """Turn a RankGRError while a process is being put together into one line on stderr and exit code 1."""
    try:
        yield
    except RankGRError as error:
        raise SystemExit(f"rankgr {name}: {' '.join(str(error).split())}") from error


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to its caller, and says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    def send_away(self) -> None:
        """From now on every answer closes its connection, so that callers go elsewhere by themselves."""
        close = (b"connection", b"close")
        # The server makes the former anew from the latter every second.
        self.server_state.default_headers.append(close)
        self.config.encoded_headers.append(close)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _server(site: Site) -> _Server:
    config = uvicorn.Config(
        site.app,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing here asks who the client is.
        proxy_headers=False,
        timeout_graceful_shutdown=GRACEFUL_S,
    )
    return _Server(config)


async def _run_until_signal(bound: Sequence[tuple[Site, socket.socket]], drain_s: float) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    await _serve_bound(bound, stop, None, _Draining(drain_s, hurry) if drain_s > 0 else None)


@dataclass(frozen=True, slots=True)
class _Draining:
    """How long callers are sent away before the port is closed; `hurry` ends it early.

    A load balancer needs that long to see that /readyz says no; until then it sends new connections, which are served.
    """

    seconds: float
    hurry: asyncio.Event

    async def run(self, bound: Sequence[tuple[Site, socket.socket]], servers: Sequence[_Server]) -> None:
        _tell_draining(bound)
        for server in servers:
            server.send_away()
        _log.info("draining", extra={"seconds": self.seconds})
        with suppress(TimeoutError):
            async with asyncio.timeout(self.seconds):
                await self.hurry.wait()


def _tell_draining(bound: Sequence[tuple[Site, socket.socket]]) -> None:
    for site, _listener in bound:
        if isinstance(site.app, FastAPI):
            site.app.state.draining = True


async def _serve_bound(
    bound: Sequence[tuple[Site, socket.socket]],
    stop: asyncio.Event,
    started: asyncio.Event | None,
    draining: _Draining | None = None,
) -> None:
    servers = [_server(site) for site, _listener in bound]
    running = [
        asyncio.ensure_future(_serve_one(server, site, listener))
        for server, (site, listener) in zip(servers, bound, strict=True)
    ]
    watching = asyncio.ensure_future(_announce(servers, bound, started))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        # A server that ends by itself has failed: then all end.
        await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
        if draining is not None and stopping.done() and not any(one.done() for one in running):
            await draining.run(bound, servers)
    finally:
        # Answers that go on for minutes end by it: the server waits for them.
        _tell_draining(bound)
        for server in servers:
            server.should_exit = True
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        for helper in (watching, stopping):
            helper.cancel()
        await asyncio.gather(watching, stopping, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, _StartFailed):
            raise SystemExit(f"rankgr {outcome}: start-up failed; the log says why")
        if isinstance(outcome, BaseException):
            raise outcome


class _StartFailed(Exception):
    """An app's lifespan did not come up."""


async def _serve_one(server: _Server, site: Site, listener: socket.socket) -> None:
    try:
        await server.serve(sockets=[listener])
    except SystemExit:
        raise _StartFailed(site.name) from None
    finally:
        listener.close()


async def _announce(
    servers: Sequence[_Server], bound: Sequence[tuple[Site, socket.socket]], started: asyncio.Event | None
) -> None:
    for server in servers:
        await server.up.wait()
    keep_what_is_here()
    look_seldom()
    for site, listener in bound:
        host, port = listener.getsockname()[:2]
        _log.info("serving", extra={"site": site.name, "url": f"http://{host}:{port}"})
    if started is not None:
        started.set()
