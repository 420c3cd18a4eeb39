"""A run cut into windows: what the figures show.  Arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass

from loadtest.budgets import FRESH, READY
from loadtest.timeline import Kind, Measured, Row, Timeline

FIRST_PAGE = Row(Kind.REQUEST, "retrieve first page")
TRIGGER = Row(Kind.REQUEST, "trigger")
WINDOWS = 60


@dataclass(frozen=True, slots=True)
class Window:
    """Some seconds of a run; `middle_s` counts from its beginning.  Shares are NaN where there was no list."""

    middle_s: float
    answers_per_s: float
    refused_per_s: float
    failed_per_s: float
    first_page: Measured
    trigger: Measured
    fresh: float
    ready: float


def windows(run: Timeline) -> list[Window]:
    """About sixty, each whole seconds long; the last one, mostly shorter, is left out unless it is the only one."""
    span = run.span()
    width = max(1, -(-len(span) // WINDOWS))
    starts = range(span.start, span.stop - width + 1, width)
    return [_window(run, range(start, start + width), start - span.start) for start in starts]


def _window(run: Timeline, seconds: range, after_s: int) -> Window:
    requests = [run.measured(row, seconds) for row in run.rows(Kind.REQUEST)]
    refused, failed = sum(row.refused for row in requests), sum(row.failures for row in requests)
    width = len(seconds)
    return Window(
        middle_s=after_s + width / 2,
        answers_per_s=(sum(row.count for row in requests) - refused - failed) / width,
        refused_per_s=refused / width,
        failed_per_s=failed / width,
        first_page=run.measured(FIRST_PAGE, seconds),
        trigger=run.measured(TRIGGER, seconds),
        fresh=run.share(FRESH, seconds),
        ready=run.share(READY, seconds),
    )
