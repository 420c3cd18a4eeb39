"""What a run gives to all hosts alike, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.bench.engine.shapes import Shape
from services.bench.engine.tally import Row


@dataclass(frozen=True, slots=True)
class Terms:
    """Same weights, same users, same threads.  environment: of our hosts; logs: a directory for their output."""

    shape: Shape
    bundle: Path
    device: str
    threads: int
    rounds: int
    seed: int
    logs: Path
    environment: Mapping[str, str]
    compile: bool = False


@dataclass(slots=True)
class Outcome:
    """Rows; why a host has none (host, reason); what hosts tell of themselves; the best plain matrix product."""

    rows: list[Row] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    about: dict[str, dict[str, str]] = field(default_factory=dict)
    product_flops: float | None = None

    @property
    def equal(self) -> bool:
        """Whether no list differs from what it should be."""
        return not any(row.equal_to_reference is False or row.equal_to_torch is False for row in self.rows)
