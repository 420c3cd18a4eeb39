"""A run as one SVG file: answers per second, latency at fixed rates, and what overload does."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from services.bench.online.report import SATURATION, Outcome

SIZE_INCHES = (11.0, 3.8)


def draw(outcome: Outcome, out: Path) -> Path:
    """Write online.svg."""
    # The same run draws the same file: ids come from a hash, and no date is written.
    with mpl.rc_context({"svg.hashsalt": "rankgr", "svg.fonttype": "none"}):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        rates, latencies, load = figure.subplots(1, 3)
        _rates(rates, outcome)
        _latencies(latencies, outcome)
        _load(load, outcome)
        written = out / "online.svg"
        figure.savefig(written, metadata={"Date": None})
    return written


def _rates(axes: Axes, outcome: Outcome) -> None:
    rows = [row for row in outcome.rows if row.rate == SATURATION][::-1]
    bars = axes.barh([row.case for row in rows], [row.rps for row in rows])
    axes.bar_label(bars, [f"{row.rps:,.0f}" for row in rows], padding=2, fontsize=7)
    axes.margins(x=0.2)
    axes.set_title("Answers per second, saturated", fontsize=9)
    axes.tick_params(labelsize=7)


def _latencies(axes: Axes, outcome: Outcome) -> None:
    cases = dict.fromkeys(row.case for row in outcome.rows if row.rate != SATURATION)
    for case in cases:
        rows = [row for row in outcome.rows if row.case == case and row.offered_rps is not None]
        axes.plot([row.rate for row in rows], [row.p99_ms for row in rows], marker="o", markersize=3, label=case)
    if cases:
        axes.set_yscale("log")
        axes.legend(fontsize=6)
    axes.set_title("p99 in ms at a share of saturation, open loop", fontsize=9)
    axes.tick_params(labelsize=7)


def _load(axes: Axes, outcome: Outcome) -> None:
    offered = [load.offered_rps for load in outcome.overload]
    axes.plot(offered, [load.good_rps for load in outcome.overload], marker="o", markersize=3, label="good answers")
    axes.plot(offered, [load.refused_rps for load in outcome.overload], marker="o", markersize=3, label="refused")
    if outcome.overload:
        axes.legend(fontsize=7)
    axes.set_ylim(bottom=0)
    axes.set_title("Whole lists as JSON: answers against requests, per second", fontsize=9)
    axes.tick_params(labelsize=7)
