"""Sentinels and a small cluster of real servers on loopback, for the tests of links."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis

from services.runtime.die_with_parent import die_with_parent
from services.runtime.embedded_redis import LOOPBACK, find_server_binary, free_port

WITHIN_S = 20.0


def eventually(check: Callable[[], bool], what: str) -> None:
    """Return once `check` gives True."""
    deadline = time.monotonic() + WITHIN_S
    while not _holds(check):
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {what}"
        time.sleep(0.02)


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except redis.RedisError:
        return False


@dataclass
class Servers:
    """Plain servers by port, each with its own directory; ended by `stop`."""

    directory: Path
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, port: int, *words: str, config: str | None = None) -> None:
        """One server that listens on loopback; `config` is the text of its configuration file."""
        home = self.directory / str(port)
        home.mkdir(parents=True, exist_ok=True)
        file = home / "server.conf"
        if config is not None:
            file.write_text(config)
        common = ["--port", str(port), "--bind", LOOPBACK, "--dir", str(home), "--save", ""]
        command = [str(find_server_binary()), *([str(file)] if config is not None else []), *common, *words]
        self.running[port] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
        )
        eventually(lambda: bool(client(port).ping()), f"server on {port}")

    def freeze(self, port: int) -> None:
        """Let one hang: it takes connections and says nothing."""
        os.kill(self.running[port].pid, signal.SIGSTOP)

    def kill(self, port: int) -> None:
        """End one as a crash would."""
        process = self.running.pop(port)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End them all."""
        for port in list(self.running):
            self.kill(port)


def client(port: int) -> Any:  # noqa: ANN401 - the library types no commands about clusters
    """A plain client of one server."""
    return redis.Redis(port=port, socket_timeout=1.0)


@dataclass(frozen=True)
class WatchedPair:
    """A primary, its replica, and a Sentinel that watches them."""

    servers: Servers
    primary: int
    replica: int
    sentinel: int

    @property
    def url(self) -> str:
        """What an adapter connects to."""
        return f"redis+sentinel://{LOOPBACK}:{self.sentinel}/shop"

    @classmethod
    def start(cls, servers: Servers) -> WatchedPair:
        """All three up, the replica in step."""
        primary, replica, sentinel = free_port(), free_port(), free_port()
        servers.start(primary)
        servers.start(replica, "--replicaof", LOOPBACK, str(primary))
        watches = (
            f"sentinel monitor shop {LOOPBACK} {primary} 1\n"
            "sentinel down-after-milliseconds shop 500\n"
            "sentinel failover-timeout shop 2000\n"
        )
        servers.start(sentinel, "--sentinel", config=watches)
        eventually(lambda: "online" in str(client(primary).info("replication")), "the replica is in step")
        eventually(
            lambda: len(client(sentinel).execute_command("SENTINEL", "REPLICAS", "shop")) == 1,
            "the Sentinel knows the replica",
        )
        return cls(servers, primary, replica, sentinel)


@dataclass(frozen=True)
class SmallCluster:
    """Three primaries without replicas."""

    servers: Servers
    ports: tuple[int, ...]

    @property
    def url(self) -> str:
        """What an adapter connects to; one node knows them all."""
        return f"redis+cluster://{LOOPBACK}:{self.ports[0]}"

    @classmethod
    def start(cls, servers: Servers) -> SmallCluster:
        """All slots covered."""
        ports: list[int] = []
        while len(ports) < 3:
            # The nodes talk to each other on a port of its own, 10000 higher.
            port = free_port()
            if port < 50_000 and port not in ports:
                ports.append(port)
        for port in ports:
            servers.start(port, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        for number, port in enumerate(ports):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            client(port).execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client(port).execute_command("CLUSTER", "MEET", LOOPBACK, ports[0])
        for port in ports:
            eventually(partial(_knows_all, port), "all slots are covered")
        return cls(servers, tuple(ports))


def _knows_all(port: int) -> bool:
    info = client(port).execute_command("CLUSTER", "INFO")
    return b"cluster_state:ok" in info and b"cluster_known_nodes:3" in info
