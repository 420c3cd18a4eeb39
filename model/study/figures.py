"""The curves of the sweeps as SVG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from model.evaluation.bootstrap import intervals
from model.evaluation.user_metrics import UserMetrics, mean_over_seeds
from model.study.cells import Cell
from model.study.variants import FULL, Group, Variant, own_value

SIZE_INCHES = (6.0, 3.6)
SWEPT = (Group.LAMBDA, Group.MU, Group.ALPHA, Group.BETA)
# Truths that are cut from others would crowd a figure.
TRUTHS = ("click", "pv", "purchase")


def draw_all(directory: Path, cells: Sequence[Cell], variants: Sequence[Variant]) -> list[Path]:
    """One file per sweep with at least two points, `<sweep>.svg`; which were written.

    The full model stands among the points where its own setting is, with the seeds that it was measured with.
    """
    kept: dict[str, list[UserMetrics]] = {}
    for cell in cells:
        kept.setdefault(cell.variant, []).append(cell.metrics)
    full = next((variant.recipe for variant in variants if variant.name == FULL), None)
    written = []
    for group in SWEPT:
        points = {
            variant.value: mean_over_seeds(kept[variant.name])
            for variant in variants
            if variant.group is group and variant.value is not None and variant.name in kept
        }
        own = None if full is None else own_value(full, group)
        if own is not None and FULL in kept:
            points[own] = mean_over_seeds(kept[FULL])
        if len(points) > 1:
            path = directory / f"{group.value}.svg"
            draw_sweep(points, group.value, _drawn(points), path)
            written.append(path)
    return written


def _drawn(points: Mapping[float, UserMetrics]) -> dict[str, str]:
    """The truths of a figure, each with its smallest HR@K of at least 20, as far as there is one."""
    some = next(iter(points.values()))
    found = {}
    for truth in TRUTHS:
        if truth in some.truths:
            rates = [name for name in some.truths[truth].metrics if name.startswith("HR@")]
            found[truth] = next((name for name in rates if int(name[3:]) >= 20), rates[-1])
    return found


def draw_sweep(points: Mapping[float, UserMetrics], name: str, metrics: Mapping[str, str], path: Path) -> None:
    """One line per truth of `metrics` (truth -> metric) over the sweep's values, with 95 % intervals of each mean.

    The same points draw the same file.
    """
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    xs = sorted(points)
    for truth, metric in metrics.items():
        found = [intervals(points[x].truths[truth].column(metric)[:, None])[0] for x in xs]
        mean = [one.mean for one in found]
        spread = [[one.mean - one.low for one in found], [one.high - one.mean for one in found]]
        axes.errorbar(range(len(xs)), mean, yerr=spread, marker="o", capsize=3, label=f"{truth} {metric}")
    axes.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    axes.set_xlabel(name)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    # Ids come from a hash, and no date is written.
    with mpl.rc_context({"svg.hashsalt": "rankgr", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})
