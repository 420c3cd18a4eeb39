"""Spans by OpenTelemetry: into the log as JSON lines, or to a collector by OTLP.

Mains call `open_traces`.  The SDK is imported only where traces are on; the exporter for OTLP is an extra of its own.
"""

from __future__ import annotations

from contracts.errors import BadRequest
from services.runtime.settings import ProcessSettings
from services.runtime.tracing import Traces, Untraced


def open_traces(settings: ProcessSettings, process: str) -> Traces:
    """As the settings say.  Raises BadRequest where the exporter is not installed."""
    if settings.traces == "none":
        return Untraced()
    from services.runtime.trace_sdk import SdkTraces, log_exporter, otlp_exporter

    try:
        exporter = log_exporter() if settings.traces == "log" else otlp_exporter()
    except ImportError as error:
        raise BadRequest("RANKGR_TRACES=otlp needs the extra otlp: pip install 'rankgr[otlp]'") from error
    return SdkTraces.to(exporter, process, settings.traces_share)
