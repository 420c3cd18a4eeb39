"""When retrieval may get traffic: from the store's first answer on, even while the store is down later.

`api` hands it to /readyz.  A store that is down costs freshness, not answers: were readiness to follow it, a load
balancer would drain every replica at once, and nobody would serve the popular lists.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from contracts.errors import StoreDown
from services.retrieval.metrics import RetrievalMetrics


@dataclass(slots=True)
class StoreAnsweredOnce:
    """Raises StoreDown until `ping` has returned once: a wrong address stops a rollout, an outage stops nothing."""

    ping: Callable[[], Awaitable[None]]
    metrics: RetrievalMetrics
    _answered: bool = field(default=False, init=False)

    async def __call__(self) -> None:
        """Ask the store and note how it is."""
        try:
            await self.ping()
        except StoreDown:
            self.metrics.note_store(up=False)
            if not self._answered:
                raise
        else:
            self.metrics.note_store(up=True)
            self._answered = True
