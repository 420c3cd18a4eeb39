"""OpenTelemetry's SDK behind `Traces`; trace_export.py imports it where traces are on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, StatusCode, Tracer
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.runtime.tracing import HEADER, HERE, NO_WORD, About, readable

SEND_EVERY_MS = 500

_PROPAGATOR = TraceContextTextMapPropagator()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SdkTraces:
    """See `Traces`."""

    provider: TracerProvider
    tracer: Tracer

    @classmethod
    def to(cls, exporter: SpanExporter, process: str, share: float) -> SdkTraces:
        """Spans of this process to an exporter; of traces that begin here, this share."""
        provider = TracerProvider(
            resource=Resource.create({"service.name": f"rankgr-{process}"}),
            sampler=ParentBased(TraceIdRatioBased(share)),
            # Our processes end their spans themselves.
            shutdown_on_exit=False,
        )
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SEND_EVERY_MS))
        return cls(provider, provider.get_tracer("rankgr"))

    def span(
        self, name: str, about: About = NO_WORD, *, parent: str | None = None, began_at: int | None = None
    ) -> AbstractContextManager[None]:
        """See the protocol."""
        return self._span(name, readable(parent) or HERE.get(), began_at, about)

    def close(self) -> None:
        """See the protocol."""
        self.provider.shutdown()

    @contextmanager
    def _span(self, name: str, parent: str | None, began_at: int | None, about: About) -> Iterator[None]:
        above = Context() if parent is None else _PROPAGATOR.extract({HEADER: parent}, Context())
        start_ns = None if began_at is None else began_at * 1_000_000
        span = self.tracer.start_span(name, above, attributes=about, start_time=start_ns)
        token = HERE.set(_traceparent_of(span))
        try:
            yield
        except BaseException as error:
            # The type alone: a message may hold what a user did.
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            HERE.reset(token)
            span.end()


def _traceparent_of(span: Span) -> str:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span, Context()))
    return carrier[HEADER]


class _LogExporter(SpanExporter):
    """One log line per span."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write them."""
        for span in spans:
            _log.info("span", extra=_fields_of(span))
        return SpanExportResult.SUCCESS


def _fields_of(span: ReadableSpan) -> dict[str, object]:
    context, began, ended = span.get_span_context(), span.start_time or 0, span.end_time or 0
    assert context is not None
    return {
        "span": span.name,
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_id": None if span.parent is None else f"{span.parent.span_id:016x}",
        "began_at": began // 1_000_000,
        "took_ms": round((ended - began) / 1e6, 3),
        "failed": span.status.status_code is StatusCode.ERROR,
        **{f"about_{name}": value for name, value in (span.attributes or {}).items()},
    }


def log_exporter() -> SpanExporter:
    """Spans as lines of the log."""
    return _LogExporter()


def otlp_exporter() -> SpanExporter:
    """Spans to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names.  Raises ImportError where it is not installed."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter: SpanExporter = OTLPSpanExporter()
    return exporter
