"""Wiring of the benchmark of semantic ids."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contracts.errors import BadRequest
from contracts.progress import Progress
from model.semantic_id.settings import SidSettings
from services.bench.engine.machine import machine_of
from services.bench.sids.report import Outcome
from services.bench.sids.run import measure

QUICK_ITEMS = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """What a run may be told.  Raises BadRequest where the items do not fit."""

    items: int
    settings: SidSettings
    quick: bool

    def __post_init__(self) -> None:
        if self.count > self.settings.places:
            raise BadRequest(f"items: {self.count} do not fit {self.settings.places} places: raise levels or cap")

    @property
    def count(self) -> int:
        """Items of this run."""
        return min(self.items, QUICK_ITEMS) if self.quick else self.items


def run(options: Options, cores: int, started: datetime, progress: Progress) -> Outcome:
    """Measure."""
    settings = options.settings
    if options.quick and settings.method == "rqvae":
        short = dataclasses.replace(settings.rqvae, steps=min(settings.rqvae.steps, 50), warm_up=10)
        settings = dataclasses.replace(settings, rqvae=short)
    machine = machine_of("cpu", cores, started)
    return Outcome(machine, options.count, settings, measure(options.count, settings, progress))


def write(outcome: Outcome, directory: Path) -> list[Path]:
    """result.json and table.md."""
    directory.mkdir(parents=True, exist_ok=True)
    result, table = directory / "result.json", directory / "table.md"
    result.write_text(json.dumps(outcome.content(), indent=1) + "\n")
    table.write_text(outcome.page() + "\n")
    return [result, table]
