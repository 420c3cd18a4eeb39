"""The curves of a run as SVG files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from services.bench.engine.tally import Row

SIZE_INCHES = (6.0, 3.6)
_CURVES: dict[str, tuple[str, Callable[[Row], int]]] = {
    "users": ("users at once", lambda row: row.users),
    "prompt": ("prompt tokens", lambda row: row.prompt_tokens),
    "beams": ("beams kept at level 1", lambda row: row.beams[0]),
    "lambda": ("lambda at the last level", lambda row: row.lambdas[-1]),
}


def draw(rows: list[Row], title: str, out: Path) -> list[Path]:
    """One file per curve with at least two points, one of all hosts, one of the stages; which were written."""
    written: list[Path] = []
    # The same run draws the same file: ids come from a hash, and no date is written.
    with mpl.rc_context({"svg.hashsalt": "rankgr", "svg.fonttype": "none"}):
        for kind, (label, point) in _CURVES.items():
            lines = _lines(rows, kind, point)
            if any(len(line) > 1 for line in lines.values()):
                written.append(_saved(_curve(lines, label, title), out / f"{kind}.svg"))
        alone = [row for row in rows if row.users == 1 and row.case in ("users", "plain", "equal")]
        if alone:
            written.append(_saved(_all_hosts(alone, title), out / "hosts.svg"))
        staged = [row for row in rows if row.case == "users" and row.stages_ms and row.host != "naive_rsp"]
        if staged:
            written.append(_saved(_stages(staged, title), out / "stages.svg"))
    return written


def _lines(rows: list[Row], kind: str, point: Callable[[Row], int]) -> dict[str, dict[int, Row]]:
    """The points of a curve by host; the main case is a point of every curve that a host has."""
    lines: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row.case == kind:
            lines.setdefault(row.host, {})[point(row)] = row
    for row in rows:
        if row.case == "users" and row.users == 1 and row.host in lines:
            lines[row.host][point(row)] = row
    return lines


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    return figure, axes


def _curve(lines: dict[str, dict[int, Row]], label: str, title: str) -> Figure:
    figure, axes = _figure(title)
    for host, line in lines.items():
        points = sorted(line)
        axes.plot(points, [line[at].ms_per_user_median for at in points], marker="o", label=host)
    axes.set_xlabel(label)
    axes.set_ylabel("ms per user, median")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _all_hosts(rows: list[Row], title: str) -> Figure:
    figure, axes = _figure(title)
    names = [f"{row.host} {'/'.join(map(str, row.beams))}" for row in rows]
    axes.barh(names, [row.ms_per_user_median for row in rows])
    axes.set_xscale("log")
    axes.set_xlabel("ms for one user, median, logarithmic")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    return figure


def _stages(rows: list[Row], title: str) -> Figure:
    figure, axes = _figure(title)
    names = [f"{row.host}, {row.users} at once" for row in rows]
    left = [0.0] * len(rows)
    for stage in dict.fromkeys(stage for row in rows for stage in row.stages_ms):
        took = [row.stages_ms.get(stage, 0.0) for row in rows]
        axes.barh(names, took, left=left, label=stage)
        left = [before + ms for before, ms in zip(left, took, strict=True)]
    axes.set_xlabel("ms per user, median of each stage")
    axes.invert_yaxis()
    axes.legend()
    return figure


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, format="svg", metadata={"Date": None})
    return path
