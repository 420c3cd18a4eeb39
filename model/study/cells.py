"""The cells of a table on disk: each is whole or not there, and says what it is a measurement of.

OUT/cells/<variant>-seed<seed>/cell.json       what was measured, under which settings, how long it took
                               users.parquet   every user's metrics
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import BadResults
from model.evaluation.user_metrics import UserMetrics

CELL_FILE = "cell.json"
USERS_FILE = "users.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One measurement.  `identity`: digest of all that decides its numbers; seconds of training and of decoding."""

    variant: str
    seed: int
    identity: str
    train_seconds: float
    eval_seconds: float
    metrics: UserMetrics


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one output directory."""

    directory: Path

    def find(self, variant: str, seed: int, identity: str) -> Cell | None:
        """The kept cell, None where there is none.

        Raises BadResults for one that was measured under other settings, or that cannot be read.
        """
        place = self._place(variant, seed)
        if not place.exists():
            return None
        try:
            said = json.loads((place / CELL_FILE).read_text())
            times = float(said["train_seconds"]), float(said["eval_seconds"])
            kept = str(said["identity"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadResults(f"{place} is no cell of a table; remove it, or name another --out") from error
        if kept != identity:
            raise BadResults(
                f"{place} was measured on other data or under other settings; name another --out, or measure again "
                "with --force"
            )
        return Cell(variant, seed, kept, *times, UserMetrics.read(place / USERS_FILE))

    def keep(self, cell: Cell) -> None:
        """Write a cell beside its place and rename it there.  OSError when the disk refuses; nothing half stays."""
        place = self._place(cell.variant, cell.seed)
        place.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            cell.metrics.write(staging / USERS_FILE)
            said = {
                "variant": cell.variant,
                "seed": cell.seed,
                "identity": cell.identity,
                "train_seconds": round(cell.train_seconds, 1),
                "eval_seconds": round(cell.eval_seconds, 1),
                "metrics": cell.metrics.means(),
            }
            (staging / CELL_FILE).write_text(json.dumps(said, indent=1) + "\n")
            staging.chmod(0o755)
            if place.exists():
                shutil.rmtree(place)
            os.replace(staging, place)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise

    def forget(self, variant: str, seed: int) -> None:
        """Remove a cell, where there is one."""
        place = self._place(variant, seed)
        if place.exists():
            shutil.rmtree(place)

    def _place(self, variant: str, seed: int) -> Path:
        return self.directory / "cells" / f"{variant}-seed{seed}"
