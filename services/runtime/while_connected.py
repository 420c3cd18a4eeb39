"""Work that ends when the client who asked for it has left: nobody else would read its answer.

Routes whose work is dear use it.  The server says that a client left by an `http.disconnect`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

CLIENT_GONE = 499
"""The status that nginx made known for it.  No client sees it: it stands in metrics."""

Answer = TypeVar("Answer")


class ClientGone(Exception):
    """The client left before there was an answer."""


async def while_connected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What `work` returns or raises; cancelled, and ClientGone raised, once the client has left.

    The request's body must have been read: what comes after it can only be the end.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
