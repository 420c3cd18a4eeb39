"""`python -IS ready.py [PORT]`: exit code 0 when the process in this container says that it can do its work.

The health check of the images and of docker-compose.yml.  A bare socket: importing an HTTP client costs ten times the
question.  Without PORT it is that of the process which the container runs; a command that serves nothing is healthy.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

WITHIN_S = 3.0
# Where each process listens unless RANKGR_NAME_PORT says otherwise (docs/settings.md).
PORTS = {
    "console": 8100,
    "trigger": 8101,
    "retrieval": 8102,
    "engine": 8103,
    "history": 8110,
    "precompute": 8111,
    "samples": 8112,
    "trainer": 8113,
}


def port_of(command: Sequence[str], environment: Mapping[str, str]) -> int | None:
    """Where the process that was started so listens; None where it is none of ours that serves."""
    for word, name in pairwise(command):
        if word == "serve" and name in PORTS:
            return int(environment.get(f"RANKGR_{name.upper()}_PORT") or PORTS[name])
    return None


def answer_of(port: int) -> bytes:
    """What `GET /readyz` answers, status line and all; OSError where nobody does."""
    with socket.create_connection(("127.0.0.1", port), WITHIN_S) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        parts = []
        while part := connection.recv(4096):
            parts.append(part)
    return b"".join(parts)


def main() -> None:
    """The reason goes to stdout, where `docker inspect` shows it."""
    if len(sys.argv) > 1:
        port: int | None = int(sys.argv[1])
    else:
        port = port_of(Path("/proc/1/cmdline").read_text().split("\0"), os.environ)
    if port is None:
        return
    try:
        answer = answer_of(port)
    except OSError as error:
        sys.exit(f"no answer: {error}")
    if not answer.startswith(b"HTTP/1.1 200 "):
        sys.exit(answer.decode(errors="replace").rpartition("\r\n\r\n")[2] or "no answer")


if __name__ == "__main__":
    main()
