"""Logs as one JSON line per event, and metrics with stable names (docs/metrics.md lists them all).

Mains call `configure_logging` once.  Nothing here logs user data beyond ids.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

METRIC_PREFIX = "rankgr_"
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a cache hit to a decode on a slow machine."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonLines(logging.Formatter):
    """A log record as one line of JSON; what was passed as `extra` becomes fields of its own."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def configure_logging(process: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Send everything to `stream` (stderr by default) as JSON lines; replaces what was configured before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(process))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Starting and stopping is ours to say (lifecycle.py); httpx would log every request.
    for chatty in ("uvicorn.error", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # Its adapter says what matters.  At debug kafka-python would log every byte it sends, the password among them.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def new_registry() -> CollectorRegistry:
    """A registry with what is known of any process: CPU, memory, file descriptors, garbage collections."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def counter(registry: CollectorRegistry, name: str, says: str, labels: Sequence[str] = ()) -> Counter:
    """A counter; its exposed name ends in `_total`."""
    return Counter(checked_name(name), says, labels, registry=registry)


def gauge(registry: CollectorRegistry, name: str, says: str, labels: Sequence[str] = ()) -> Gauge:
    """A gauge."""
    return Gauge(checked_name(name), says, labels, registry=registry)


def histogram(
    registry: CollectorRegistry,
    name: str,
    says: str,
    labels: Sequence[str] = (),
    buckets: Sequence[float] = LATENCY_BUCKETS_S,
) -> Histogram:
    """A histogram; durations are in seconds and their names end in `_seconds`."""
    return Histogram(checked_name(name), says, labels, registry=registry, buckets=buckets)


def checked_name(name: str) -> str:
    """The name, if it is one of ours; ValueError otherwise."""
    if not name.startswith(METRIC_PREFIX):
        raise ValueError(f"metric {name!r} must begin with {METRIC_PREFIX}")
    return name
