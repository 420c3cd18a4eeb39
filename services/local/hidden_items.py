"""The set of hidden items for one-off commands: `rankgr items` uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.gateways.hidden_items.in_redis import RedisHiddenItems
from services.gateways.hidden_items.port import HiddenItems


@asynccontextmanager
async def open_hidden_items(redis_url: str) -> AsyncIterator[HiddenItems]:
    """The set that this Redis holds."""
    items = RedisHiddenItems.connect(redis_url)
    try:
        yield items
    finally:
        await items.close()
