"""Logs are one JSON object per line; metrics have our prefix, and each is explained in docs/metrics.md."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from services.runtime.consume import ConsumeMetrics
from services.runtime.http_metrics import HttpTallies
from services.runtime.telemetry import configure_logging, counter, gauge, histogram, new_registry

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logging("probe", "info", stream)
    yield stream
    root.handlers, root.level = handlers, level


def test_an_event_is_one_line_with_its_fields(lines: io.StringIO) -> None:
    logging.getLogger("x.y").warning("two\nlines %d", 7, extra={"user_id": "ü", "at": Path("p")})
    told = json.loads(lines.getvalue())
    assert lines.getvalue().count("\n") == 1
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "warning",
        "process": "probe",
        "logger": "x.y",
        "event": "two\nlines 7",
        "user_id": "ü",
        "at": "p",
    }


def test_a_trace_stays_on_its_line(lines: io.StringIO) -> None:
    try:
        raise KeyError("k")
    except KeyError:
        logging.getLogger("x").exception("broke")
    told = json.loads(lines.getvalue())
    assert "Traceback" in told["trace"]
    assert lines.getvalue().count("\n") == 1


def test_the_level_is_kept(lines: io.StringIO) -> None:
    logging.getLogger("x").debug("quiet")
    assert lines.getvalue() == ""


@pytest.mark.parametrize("make", [counter, gauge, histogram])
def test_a_metric_without_our_prefix_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match="rankgr_"):
        make(CollectorRegistry(), "requests", "x")


def test_a_registry_knows_the_process_it_is_in() -> None:
    assert b"process_resident_memory_bytes" in generate_latest(new_registry())


def test_every_metric_of_runtime_is_on_the_metrics_page() -> None:
    registry = CollectorRegistry()
    ConsumeMetrics(registry)
    HttpTallies(registry)
    page = PAGE.read_text()
    names = {metric.name for metric in registry.collect()}
    assert len(names) >= 7
    assert [name for name in sorted(names) if f"`{name}" not in page] == []
