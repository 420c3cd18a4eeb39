"""One engine, asked in the words of whichever catalogue it serves: during an update that is not everybody's.

Main of precompute puts it around each replica.  A request that cannot be put in those words is refused as ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.errors import CatalogMismatch
from services.gateways.inference.port import EngineAnswer, EngineRequest, InferenceEngine


@dataclass(slots=True, eq=False)
class RewordedInferenceEngine:
    """Remembers which catalogue the engine served last, so that only the first request after a swap is asked twice."""

    engine: InferenceEngine
    _served: str | None = field(default=None, init=False)

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        """See the port."""
        asked = _in_words_of(self._served, request) or request
        try:
            answer = await self.engine.recommend(asked)
        except CatalogMismatch as refusal:
            self._served = refusal.served
            again = _in_words_of(refusal.served, request)
            if again is None or again.catalog_version == asked.catalog_version:
                raise
            answer = await self.engine.recommend(again)
        self._served = answer.catalog_version
        return answer

    async def ping(self) -> None:
        """See the port."""
        await self.engine.ping()

    async def close(self) -> None:
        """See the port."""
        await self.engine.close()


def _in_words_of(catalog_version: str | None, request: EngineRequest) -> EngineRequest | None:
    """The request for that catalogue; None where it cannot be put so, or nobody knows which one it is."""
    if catalog_version is None or request.catalog_version in (None, catalog_version):
        return request if catalog_version is not None else None
    return None if request.reworded is None else request.reworded(catalog_version)
