"""Waiting until a child of ours answers on its port."""

from __future__ import annotations

import socket
import subprocess
from time import monotonic, sleep

from services.runtime.embedded_redis import LOOPBACK

WITHIN_S = 30.0
ASK_EVERY_S = 0.05


class NeverCame(Exception):
    """The child ended, or took too long."""


def wait_for_port(port: int, child: subprocess.Popen[bytes], within_s: float = WITHIN_S) -> None:
    """Return once somebody accepts on this loopback port.  Raises NeverCame."""
    until_s = monotonic() + within_s
    while child.poll() is None and monotonic() < until_s:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1.0).close()
        except OSError:
            sleep(ASK_EVERY_S)
        else:
            return
    raise NeverCame(f"nothing listens on port {port}")
