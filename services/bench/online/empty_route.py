"""An empty raw ASGI route on the same server as ours: what no route can be faster than.

Run as a process: `python -m services.bench.online.empty_route PORT`.
"""

from __future__ import annotations

import sys

from starlette.types import Receive, Scope, Send

from services.runtime.lifecycle import run_app

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def empty(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 200 {} to everything."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})


if __name__ == "__main__":
    run_app(empty, "127.0.0.1", int(sys.argv[1]), name="empty")
