"""`python -IS ready.py PORT`: exit code 0 when the process in this container says that it can do its work.

The health check of docker-compose.yml.  A bare socket: importing an HTTP client costs ten times the question.
"""

from __future__ import annotations

import socket
import sys

WITHIN_S = 3.0


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
    try:
        answer = answer_of(int(sys.argv[1]))
    except OSError as error:
        sys.exit(f"no answer: {error}")
    if not answer.startswith(b"HTTP/1.1 200 "):
        sys.exit(answer.decode(errors="replace").rpartition("\r\n\r\n")[2] or "no answer")


if __name__ == "__main__":
    main()
