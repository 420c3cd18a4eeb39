"""What commands print: one JSON object on stdout with --json, else text for people; progress goes to stderr.

rich is imported by what draws with it: `rankgr serve` starts without.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from contracts.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress


def people() -> Console:
    """Where text for people goes.  Titles and ids are printed as they are: [this] is no style, :this: no picture."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False, soft_wrap=not sys.stdout.isatty())


def emit(content: object) -> None:
    """Print one JSON object and nothing else.  A NaN is a bug of ours, and raises ValueError."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")


def fail(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write("rankgr: " + " ".join(message.split()) + "\n")


def note(message: str) -> None:
    """A line for people on stderr, beside what is being printed."""
    sys.stderr.write(f"rankgr: {message}\n")


class _Bars:
    """One bar per stage on a terminal; on a pipe, one line per finished stage."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars

    def begin(self, stage: str, total: int) -> None:
        """Finish the last bar and start another."""
        self.finish()
        self._bars.add_task(stage, total=total, note="")

    def advance(self, units: int, note: str = "") -> None:
        """Move the bar."""
        task = self._bars.tasks[-1]
        self._bars.update(task.id, advance=units, note=note or task.fields["note"])

    def finish(self) -> None:
        """Fill the last bar."""
        if self._bars.tasks:
            task = self._bars.tasks[-1]
            self._bars.update(task.id, completed=task.total)
            if not self._bars.console.is_terminal:
                seconds = task.elapsed or 0.0
                self._bars.console.print(f"  {task.description}: {seconds:.1f} s {task.fields['note']}".rstrip())


@contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """Bars with elapsed and remaining time on stderr, or silence."""
    if quiet:
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=console, disable=not console.is_terminal) as bars:
        shown = _Bars(bars)
        yield shown
        shown.finish()
