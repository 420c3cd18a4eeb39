"""Where each process listens: in compose, in the chart, and for Prometheus."""

from __future__ import annotations

PORTS = {
    "trigger": 8101,
    "retrieval": 8102,
    "engine": 8103,
    "console": 8100,
    "history": 8110,
    "precompute": 8111,
    "samples": 8112,
    "trainer": 8113,
}
