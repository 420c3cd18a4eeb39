"""Fallback lists: kept in the process, so that they are there when everything else is down."""

from __future__ import annotations

from typing import Protocol

from contracts.ids import ItemId


class FallbackLists(Protocol):
    """Popular items per scene, most popular first; never raises."""

    @property
    def version(self) -> str:
        """Which lists these are: another text wherever a list differs."""
        ...

    def popular(self, scene: str | None) -> tuple[ItemId, ...]:
        """The scene's list, or the default one where the scene is unknown or None."""
        ...
