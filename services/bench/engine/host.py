"""A host as the benchmark sees it, inside the host's own process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from services.bench.engine.lists import Listed
from services.bench.engine.messages import Ask


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """All users' lists (None: incomplete on purpose) and what the host tells of its work; see `messages.Found`.

    `seconds` replaces the measured time where only a part was computed.
    """

    lists: list[Listed] | None
    stages_ms: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None


class Host(Protocol):
    """Decodes users that come at once; made once per process, before anything is timed."""

    def about(self) -> dict[str, str]:
        """Versions and settings worth printing."""
        ...

    def decode(self, asked: Ask) -> Decoded:
        """All users' lists; returns when the device is done.  Raises RankGRError."""
        ...
