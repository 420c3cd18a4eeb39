"""`python -IS engine_answers.py HOST PORT`: ends with 0 once the engine under that name is ready.

Which service is the engine depends on the profile, and nobody can wait for "one of these" in a compose file: so the
stack waits for this one, whichever it is.  Every ten seconds one line says what is being waited for.
"""

from __future__ import annotations

import socket
import sys
import time

ASK_EVERY_S, SAY_EVERY_S, WITHIN_S = 0.5, 10.0, 3.0
NOBODY = "nobody has that name: start the stack with one of the profiles vllm-cpu, small, gpu"


def trouble(host: str, port: int) -> str:
    """Why the engine is not ready; empty when it is."""
    try:
        with socket.create_connection((host, port), WITHIN_S) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except socket.gaierror:
        return NOBODY
    except OSError as error:
        return f"no answer yet: {error}"
    if answer.startswith(b"HTTP/1.1 200 "):
        return ""
    return answer.decode(errors="replace").rpartition("\r\n\r\n")[2].strip() or "no answer yet"


def main() -> None:
    """Wait as long as it takes: a large model takes its time, and whoever is waited for says why it does not come."""
    host, port = sys.argv[1], int(sys.argv[2])
    said_s = -SAY_EVERY_S
    while why := trouble(host, port):
        if time.monotonic() - said_s >= SAY_EVERY_S:
            said_s = time.monotonic()
            sys.stderr.write(f"waiting for {host}:{port}: {why}\n")
        time.sleep(ASK_EVERY_S)
    sys.stderr.write(f"{host}:{port} is ready\n")


if __name__ == "__main__":
    main()
