"""What the history store in Redis must bear: outages, and a behaviour that this version does not know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.behaviors import Behavior
from contracts.errors import StoreDown
from contracts.ids import ItemId, UserId
from services.gateways.history.in_redis import RedisHistoryStore
from services.gateways.history.port import PastInteraction
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions

pytestmark = pytest.mark.redis

StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]
USER = UserId("42")
CLICK = PastInteraction(ItemId(7), Behavior.CLICK, 1)


async def test_every_call_raises_store_down_while_the_server_is_down_and_works_again_after(
    own_redis: StartRedis, tmp_path: Path
) -> None:
    server = own_redis(tmp_path, ServerOptions(append_only=True))
    store = RedisHistoryStore.connect(server.url)
    await store.remember(USER, [CLICK])
    server.stop()
    with pytest.raises(StoreDown):
        await store.remember(USER, [CLICK])
    with pytest.raises(StoreDown):
        await store.recent(USER)
    with pytest.raises(StoreDown):
        await store.ping()
    own_redis(tmp_path, ServerOptions(append_only=True, port=server.port))
    assert await store.recent(USER) == [CLICK]
    await store.close()
