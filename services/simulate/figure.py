"""A run as one SVG file: hit rate over time, an arm a line."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from services.simulate.arm import Name
from services.simulate.measure import Outcome

SIZE_INCHES = (7.0, 4.0)
LABELS = {
    Name.UPDATES: "with streaming updates",
    Name.FROZEN: "without",
    Name.RETRAIN: "trained anew on a month after the change",
}


def draw(outcome: Outcome, changes_at: int, title: str, out: Path) -> Path:
    """Write drift.svg; error bars are 95 % intervals by a bootstrap over users.  Raises OSError."""
    # The same run draws the same file: ids come from a hash, and no date is written.
    with mpl.rc_context({"svg.hashsalt": "rankgr", "svg.fonttype": "none"}):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        for shift, arm in enumerate(Name):
            rates = [one for one in outcome.rates if one.arm is arm]
            mean = [one.rate.value for one in rates]
            spread = [
                [max(one.rate.value - one.rate.low, 0.0) for one in rates],
                [max(one.rate.high - one.rate.value, 0.0) for one in rates],
            ]
            # Side by side, or the bars would hide each other.
            places = [one.period + 0.06 * (shift - 1) for one in rates]
            axes.errorbar(places, mean, yerr=spread, marker="o", markersize=4, capsize=2, label=LABELS[arm])
        axes.axvline(changes_at - 0.5, color="grey", linestyle="--", linewidth=1)
        axes.annotate("tastes change", (changes_at - 0.5, 0.0), (4, 4), textcoords="offset points", fontsize=8)
        axes.set_xticks(sorted({one.period for one in outcome.rates}))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("update period")
        axes.set_ylabel("chance that the page holds what is wanted")
        axes.set_title(title, fontsize=9)
        axes.legend(fontsize=8)
        written = out / "drift.svg"
        figure.savefig(written, metadata={"Date": None})
    return written
