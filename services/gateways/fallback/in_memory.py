"""Fallback lists given as they are: for tests of what serves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.ids import ItemId


class MemoryFallbackLists:
    """A default list and one per scene; version: which lists these are."""

    def __init__(
        self, default: Sequence[int], scenes: Mapping[str, Sequence[int]] | None = None, version: str = ""
    ) -> None:
        self.version = version
        self._default = tuple(map(ItemId, default))
        self._scenes = {scene: tuple(map(ItemId, items)) for scene, items in (scenes or {}).items()}

    def popular(self, scene: str | None) -> tuple[ItemId, ...]:
        """See the port."""
        return self._default if scene is None else self._scenes.get(scene, self._default)
