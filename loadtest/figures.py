"""A run as SVG: requests per second, times, and what the lists were worth, over time."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.curves import Window
from loadtest.phases import Episode

SIZE_INCHES = (7.0, 2.8)
NAMES = ("requests", "times", "lists")


def draw(windows: Sequence[Window], episode: Episode | None) -> dict[str, str]:
    """An SVG document by name; the same run draws the same ones."""
    drawn: dict[str, str] = {}
    for name in NAMES:
        # Ids come from a hash, and no date is written.
        with mpl.rc_context({"svg.hashsalt": f"rankgr load {name}", "svg.fonttype": "none"}):
            figure = Figure(figsize=SIZE_INCHES, layout="constrained")
            axes = figure.add_subplot()
            axes.grid(visible=True, linewidth=0.3)
            axes.set_xlabel("seconds since the first request")
            if episode is not None:
                axes.axvspan(episode.from_s, episode.to_s, color="grey", alpha=0.15, label=episode.label)
            {"requests": _requests, "times": _times, "lists": _lists}[name](axes, windows)
            axes.legend(fontsize=7, loc="best")
            svg = io.StringIO()
            figure.savefig(svg, format="svg", metadata={"Date": None})
        drawn[name] = "\n".join(line.rstrip() for line in svg.getvalue().splitlines()) + "\n"
    return drawn


def _requests(axes: Axes, windows: Sequence[Window]) -> None:
    at = [one.middle_s for one in windows]
    axes.plot(at, [one.answers_per_s for one in windows], label="answered", linewidth=1.2)
    for label, rates in (
        ("refused (429, 503)", [one.refused_per_s for one in windows]),
        ("failed", [one.failed_per_s for one in windows]),
    ):
        if any(rates):
            axes.plot(at, rates, label=label, linewidth=1.2)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("requests per second")


def _times(axes: Axes, windows: Sequence[Window]) -> None:
    at = [one.middle_s for one in windows]
    for label, style, rows in (
        ("first page", "-", [one.first_page for one in windows]),
        ("trigger", ":", [one.trigger for one in windows]),
    ):
        axes.plot(at, [row.p50_ms for row in rows], style, color="C0", label=f"{label} p50", linewidth=1.2)
        axes.plot(at, [row.p95_ms for row in rows], style, color="C1", label=f"{label} p95", linewidth=1.2)
        axes.plot(at, [row.p99_ms for row in rows], style, color="C3", label=f"{label} p99", linewidth=1.2)
    axes.set_yscale("log")
    axes.set_ylabel("ms")


def _lists(axes: Axes, windows: Sequence[Window]) -> None:
    at = [one.middle_s for one in windows]
    axes.plot(at, [one.fresh for one in windows], label="fresh", linewidth=1.2)
    axes.plot(at, [one.ready for one in windows], label="ready when asked for (latency masked)", linewidth=1.2)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share of first pages")
