"""The set of hidden items for one-off commands: `rankgr items` uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.gateways.hidden_items.in_redis import RedisHiddenItems
from services.gateways.hidden_items.port import HiddenItems
from services.gateways.redis_link import RedisTimes


@asynccontextmanager
async def open_hidden_items(redis_url: str) -> AsyncIterator[HiddenItems]:
    """The set that this Redis holds."""
    # Ten thousand items at once take the server longer than a page may, and whoever types can wait.
    items = RedisHiddenItems.connect(redis_url, times=RedisTimes(connect_s=1.0, answer_s=5.0))
    try:
        yield items
    finally:
        await items.close()
