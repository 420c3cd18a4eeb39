"""The use case behind "why this order?": the engine is asked the same prompt again, with and without RSP.

Called by `follow_request` once the list is there; never part of a request's way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from contracts.errors import NothingToRecommend
from contracts.ids import ItemId, UserId
from services.console.words import Words
from services.gateways.hidden_items.port import HiddenItems
from services.gateways.history.port import HistoryStore
from services.gateways.inference.port import EngineRequest, ExplainingEngine, Explanation, LevelScores

# A score is log s + iap_mix * log p: so large a factor leaves nothing of log s but the order among equal log p.
IAP_ALONE = 1e6
# A person waits for it, on what may be a busy machine.
DEADLINE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Why:
    """What the levels thought of one item.  Ranks count from 1; None: not in that list.

    `score` is the list's own: without RSP the sum of log p.
    """

    item_id: ItemId
    sid: tuple[int, ...]
    score: float
    levels: tuple[LevelScores, ...]
    rank: int | None
    rank_without_rsp: int | None


@dataclass(frozen=True, slots=True)
class Explained:
    """The best items with RSP and without it, `most` of each, best first."""

    model_version: str
    items: tuple[Why, ...]
    without_rsp: tuple[Why, ...]


@dataclass(frozen=True, slots=True)
class ExplainList:
    """Raises StoreDown, Unavailable without a catalogue, and what the engine says of this prompt."""

    engine: ExplainingEngine
    histories: HistoryStore
    hidden: HiddenItems
    words: Words

    async def __call__(self, user: UserId, at_ms: int, scene: str | None, most: int) -> Explained:
        """For the history as it is now, in the circumstances of a trigger accepted at `at_ms`."""
        history, hidden = await asyncio.gather(self.histories.recent(user), self.hidden.read())
        tokens = self.words.tokens(history, at_ms, scene)
        if not tokens:
            raise NothingToRecommend("the history holds no item of the catalogue: there is nothing to explain")
        now_hidden = [item for item, since in hidden.since.items() if since <= at_ms]
        request = EngineRequest(
            user_id=user,
            tokens=tokens,
            deadline_ms=DEADLINE_MS,
            item_filter=self.words.filter_of(now_hidden),
            catalog_version=self.words.catalog_version,
        )
        # One after the other: the second finds the first one's prefix in the engine's cache.
        whole = await self.engine.explain(request)
        without = await self.engine.explain(replace(request, iap_mix=IAP_ALONE))
        ranks, ranks_without = _ranks(whole), _ranks(without)
        return Explained(
            whole.answer.model_version,
            _reasons(whole, ranks, ranks_without, most),
            _reasons(without, ranks, ranks_without, most, IAP_ALONE),
        )


def _ranks(explained: Explanation) -> dict[ItemId, int]:
    return {one.item_id: rank for rank, one in enumerate(explained.answer.items, start=1)}


def _reasons(
    explained: Explanation, ranks: dict[ItemId, int], without: dict[ItemId, int], most: int, scale: float = 1.0
) -> tuple[Why, ...]:
    rows = list(zip(explained.answer.items, explained.levels, strict=True))[:most]
    return tuple(
        Why(one.item_id, one.sid, one.score / scale, levels, ranks.get(one.item_id), without.get(one.item_id))
        for one, levels in rows
    )
