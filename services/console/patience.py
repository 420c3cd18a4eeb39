"""Asks again what failed for a moment: the stream's times are meant for page views, and people can wait a little.

Used by the routes and verbs that look at the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from contracts.errors import Unavailable

TRIES = 4
PAUSE_S = 0.1

Found = TypeVar("Found")


async def patiently(ask: Callable[[], Awaitable[Found]]) -> Found:
    """What `ask` finds; raises the last Unavailable where it never answers."""
    for _ in range(TRIES - 1):
        try:
            return await ask()
        except Unavailable:
            await asyncio.sleep(PAUSE_S)
    return await ask()
