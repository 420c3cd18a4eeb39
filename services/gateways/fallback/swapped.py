"""Fallback lists that are replaced whole while they are being served: a new bundle brings its own.

Main of retrieval builds it; a page comes from one list or the other, never from both.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.ids import ItemId
from services.gateways.fallback.port import FallbackLists


@dataclass(slots=True)
class SwappedFallbackLists:
    """Whatever is in `now`."""

    now: FallbackLists

    @property
    def version(self) -> str:
        """See the port."""
        return self.now.version

    def popular(self, scene: str | None) -> tuple[ItemId, ...]:
        """See the port."""
        return self.now.popular(scene)
