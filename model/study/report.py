"""Cells to a table: means, and the paired difference of every row to the row it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from model.evaluation.bootstrap import Interval
from model.evaluation.compare import compare
from model.evaluation.user_metrics import Metrics, mean_over_seeds
from model.study.cells import Cell


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One method: its seeds' mean, and ours minus `against` with intervals; empty for `against` itself."""

    variant: str
    seeds: tuple[int, ...]
    metrics: Metrics
    spread: Metrics
    """Largest minus smallest mean over the seeds."""
    differences: dict[str, dict[str, Interval]]
    train_seconds: float
    eval_seconds: float


def rows_of(cells: Sequence[Cell], against: str) -> list[Row]:
    """One row per variant, in the order of the first cell of each.

    The difference is that of the users' means over seeds: the row's minus that of `against`, both over the seeds
    that the row has.  Raises BadResults where they were not measured on the same users.
    """
    by_variant: dict[str, list[Cell]] = {}
    for cell in cells:
        by_variant.setdefault(cell.variant, []).append(cell)
    return [_row(own, by_variant.get(against, []), against) for own in by_variant.values()]


def _row(own: Sequence[Cell], base: Sequence[Cell], against: str) -> Row:
    seeds = tuple(cell.seed for cell in own)
    mean = mean_over_seeds([cell.metrics for cell in own])
    differences: dict[str, dict[str, Interval]] = {}
    if base and own[0].variant != against:
        same_seeds = [cell for cell in base if cell.seed in seeds] or list(base)
        differences = compare(mean, mean_over_seeds([cell.metrics for cell in same_seeds]))
    each = [cell.metrics.means() for cell in own]
    spread = {
        truth: {name: max(one[truth][name] for one in each) - min(one[truth][name] for one in each) for name in of}
        for truth, of in each[0].items()
    }
    return Row(
        variant=own[0].variant,
        seeds=seeds,
        metrics=mean.means(),
        spread=spread,
        differences=differences,
        train_seconds=sum(cell.train_seconds for cell in own),
        eval_seconds=sum(cell.eval_seconds for cell in own),
    )


def as_json(rows: Sequence[Row], cells: Sequence[Cell]) -> dict[str, object]:
    """What `rankgr ablate --json` prints: `rows`, one per cell, and `summary`, one per variant."""
    return {
        "rows": [
            {
                "variant": cell.variant,
                "seed": cell.seed,
                "metrics": cell.metrics.means(),
                "train_seconds": round(cell.train_seconds, 1),
                "eval_seconds": round(cell.eval_seconds, 1),
            }
            for cell in cells
        ],
        "summary": [asdict(row) for row in rows],
    }


def markdown(rows: Sequence[Row], truth: str, metrics: Sequence[str], against: str) -> str:
    """One truth as a table: means, and the first metric's difference, its interval, the smallest that would show."""
    head = ["method", "seeds", *metrics, f"minus {against}: {metrics[0]}", "95 %", "would show", "train s", "eval s"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        if truth not in row.metrics:
            continue
        values = [_figure(row.metrics[truth].get(name)) for name in metrics]
        one = row.differences.get(truth, {}).get(metrics[0])
        told = ["", "", ""]
        if one is not None:
            told = [f"{one.mean:+.4f}", f"{one.low:+.4f} .. {one.high:+.4f}", f"{one.smallest_effect:.4f}"]
        seeds = ",".join(map(str, row.seeds))
        times = [f"{row.train_seconds:.0f}", f"{row.eval_seconds:.0f}"]
        lines.append("| " + " | ".join([row.variant, seeds, *values, *told, *times]) + " |")
    return "\n".join(lines) + "\n"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
