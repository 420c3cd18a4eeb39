"""How long work tells whoever started it how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Stages follow one another; each counts up to its total.  Calls are cheap and never raise."""

    def begin(self, stage: str, total: int) -> None:
        """A new stage of `total` units begins; the one before it is done."""
        ...

    def advance(self, units: int, note: str = "") -> None:
        """So many more units are done; `note` replaces what is shown beside the bar."""
        ...


class Silent:
    """Nobody is watching."""

    def begin(self, stage: str, total: int) -> None:
        """Say nothing."""

    def advance(self, units: int, note: str = "") -> None:
        """Say nothing."""
