"""A stack of the load test's own: `rankgr up` on free ports, or the same behind a slow proxy; gone after the block."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import httpx

from loadtest.circumstances import ROOT
from loadtest.slowable_stack import Slow
from services.runtime.die_with_parent import die_with_parent
from services.runtime.embedded_redis import LOOPBACK, free_port

PROCESSES = ("trigger", "history", "precompute", "engine", "retrieval", "samples", "console")
READY_WITHIN_S = 180.0
ASK_EVERY_S = 0.2
STOP_WITHIN_S = 30.0


class StackFailed(Exception):
    """The stack did not come up; the message holds what it said last."""


@dataclass(frozen=True, slots=True)
class OwnStack:
    """Where its processes answer, and where its slow proxy takes delays (empty: it has none)."""

    urls: Mapping[str, str]
    slow_control: str = ""


@contextmanager
def own_stack(
    bundle: Path, directory: Path, slow: Slow | None = None, told: Mapping[str, str] | None = None
) -> Iterator[OwnStack]:
    """A stack inside the block, on ports of its own, so that one that runs already is not in the way.

    `told`: environment variables that hold unless the caller's environment sets them.  Raises StackFailed.
    """
    ports = {name: free_port() for name in PROCESSES}
    environment = {**(told or {}), **os.environ}
    environment |= {f"RANKGR_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    command, control = [sys.executable, "-m", "services.cli", "up"], 0
    if slow is not None:
        control = free_port()
        command = [sys.executable, "-m", "loadtest.slowable_stack", "--control", str(control), "--slow", slow.value]
    log = directory / "stack.log"
    with log.open("w") as says:
        stack = subprocess.Popen(
            [*command, "--bundle", str(bundle), "--state", str(directory)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=says,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches the whole group: we end the stack when locust has ended.
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        try:
            urls = {name: f"http://{LOOPBACK}:{port}" for name, port in ports.items()}
            _wait_ready(stack, urls, log)
            yield OwnStack(urls, f"{LOOPBACK}:{control}" if control else "")
        finally:
            _stop(stack)


def _wait_ready(stack: subprocess.Popen[bytes], urls: Mapping[str, str], log: Path) -> None:
    until_s = monotonic() + READY_WITHIN_S
    with httpx.Client(timeout=2.0) as client:
        while not all(_is_ready(client, url) for url in urls.values()):
            if stack.poll() is not None or monotonic() > until_s:
                raise StackFailed("the stack did not come up:\n" + "\n".join(log.read_text().splitlines()[-5:]))
            sleep(ASK_EVERY_S)


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/readyz").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _stop(stack: subprocess.Popen[bytes]) -> None:
    stack.terminate()
    try:
        stack.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        stack.kill()
        stack.wait()
