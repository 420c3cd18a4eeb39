"""A progress that keeps what it is told."""

from __future__ import annotations


class Notebook:
    """Stages with their totals, and the units and notes told since the last one began."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.units: list[int] = []
        self.notes: list[str] = []

    def begin(self, stage: str, total: int) -> None:
        """A new page."""
        self.stages.append((stage, total))
        self.units = []

    def advance(self, units: int, note: str = "") -> None:
        """One line."""
        self.units.append(units)
        self.notes.append(note)
