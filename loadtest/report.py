"""The Markdown table of a load test.  The locust file writes it at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping

from loadtest.budgets import Measured

HEAD = """\
| | count | failed | per second | p50 ms | p95 ms | p99 ms |
|---|---:|---:|---:|---:|---:|---:|
"""


def table(requests: Mapping[str, Measured], lists: Mapping[str, Measured]) -> str:
    """Requests, then lists by outcome; a list's times run from its trigger's sending to the list in hand."""
    rows = [*requests.values(), *lists.values()]
    return HEAD + "".join(_line(row) for row in rows)


def _line(row: Measured) -> str:
    times = f"{row.p50_ms:.0f} | {row.p95_ms:.0f} | {row.p99_ms:.0f}"
    return f"| {row.name} | {row.count} | {row.failures} | {row.per_second:.1f} | {times} |\n"
