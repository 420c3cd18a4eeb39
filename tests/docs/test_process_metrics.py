"""docs/metrics.md names every metric of the five processes, with its type and labels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.engine.metrics import EngineMetrics
from services.history.metrics import HistoryMetrics
from services.precompute.metrics import PrecomputeMetrics
from services.retrieval.metrics import RetrievalMetrics
from services.trigger.metrics import TriggerMetrics

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
KINDS: tuple[type[Counter | Gauge | Histogram], ...] = (Counter, Gauge, Histogram)
PROCESSES = (TriggerMetrics, HistoryMetrics, PrecomputeMetrics, EngineMetrics, RetrievalMetrics)


def told() -> dict[str, tuple[str, frozenset[str]]]:
    """Metric -> its type and labels as the page has them."""
    rows: dict[str, tuple[str, frozenset[str]]] = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if found := re.fullmatch(r"`(rankgr_\w+)`", cells[0]):
            rows[found[1]] = (cells[1], frozenset(cells[2].split(", ")) - {""})
    return rows


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.__name__)
def test_every_metric_is_on_the_page(process: type[TriggerMetrics]) -> None:
    metrics = vars(process(CollectorRegistry())).values()
    made = {one._name: one for one in metrics if isinstance(one, KINDS)}
    assert made
    for name, metric in made.items():
        assert told().get(name) == (type(metric).__name__.lower(), frozenset(metric._labelnames)), name
