"""docs/metrics.md names every metric of the processes, with its type and labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.bundles.follow_metrics import FollowMetrics
from services.bundles.publication import PublicationMetrics
from services.engine.metrics import EngineMetrics
from services.gateways.event_stream.counted import PublishMetrics
from services.gateways.redis_link.link_metrics import LinkMetrics
from services.history.metrics import HistoryMetrics
from services.precompute.metrics import PrecomputeMetrics
from services.retrieval.metrics import RetrievalMetrics
from services.runtime.consume import ConsumeMetrics
from services.runtime.http_metrics import HttpTallies
from services.runtime.tallies import CountTally, SpreadTally
from services.samples.metrics import SamplesMetrics
from services.trainer.metrics import TrainerMetrics
from services.trigger.metrics import TriggerMetrics

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
KINDS: tuple[type[Counter | Gauge | Histogram], ...] = (Counter, Gauge, Histogram)
TALLIES = (CountTally, SpreadTally)
PROCESSES = (
    TriggerMetrics,
    HistoryMetrics,
    PrecomputeMetrics,
    EngineMetrics,
    RetrievalMetrics,
    SamplesMetrics,
    TrainerMetrics,
    LinkMetrics,
    PublishMetrics,
    ConsumeMetrics,
    HttpTallies,
    FollowMetrics,
    PublicationMetrics,
)


def told() -> dict[str, tuple[str, frozenset[str]]]:
    """Metric -> its type and labels as the page has them."""
    rows: dict[str, tuple[str, frozenset[str]]] = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if found := re.fullmatch(r"`(rankgr_\w+)`", cells[0]):
            rows[found[1]] = (cells[1], frozenset(cells[2].split(", ")) - {""})
    return rows


def made_by(metrics: Iterable[object]) -> dict[str, tuple[str, frozenset[str]]]:
    """Metric -> its type and labels as it is made."""
    made = {
        one._name: (type(one).__name__.lower(), frozenset(one._labelnames)) for one in metrics if isinstance(one, KINDS)
    }
    tallies = (one for one in metrics if isinstance(one, TALLIES))
    return made | {one.name: (one.kind, frozenset(one.label_names)) for one in tallies}


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.__name__)
def test_every_metric_is_on_the_page(process: type[TriggerMetrics]) -> None:
    made = made_by(vars(process(CollectorRegistry())).values())
    assert made
    for name, described in made.items():
        assert told().get(name) == described, name
