"""Traces: who is whose child, what is handed on, and that nothing breaks them or is broken by them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.runtime.telemetry import configure_logging
from services.runtime.trace_export import open_traces
from services.runtime.trace_sdk import SdkTraces, log_exporter
from services.runtime.tracing import Untraced, readable, traceparent
from services.trigger.settings import TriggerSettings

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-2] + "00"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter: InMemorySpanExporter) -> Iterator[SdkTraces]:
    made = SdkTraces.to(exporter, "test", 1.0)
    yield made
    made.close()


def spans(traces: SdkTraces, exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    traces.provider.force_flush()
    return {span.name: span for span in exporter.get_finished_spans()}


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    """Trace, span, parent."""
    context = span.get_span_context()
    assert context is not None
    parent = None if span.parent is None else f"{span.parent.span_id:016x}"
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", parent


def test_spans_lie_within_each_other_and_the_caller_s_is_above(
    traces: SdkTraces, exporter: InMemorySpanExporter
) -> None:
    with traces.span("outer", {"request_id": "r-1"}, parent=PARENT):
        handed_on = traceparent()
        with traces.span("inner"):
            assert traceparent() != handed_on
        assert traceparent() == handed_on
    assert traceparent() is None
    found = spans(traces, exporter)
    trace, outer, above = ids(found["outer"])
    assert (trace, above) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert ids(found["inner"])[::2] == (trace, outer)
    assert handed_on == f"00-{trace}-{outer}-01"
    assert dict(found["outer"].attributes or {}) == {"request_id": "r-1"}


@pytest.mark.parametrize("parent", [None, "", "nonsense", "00-0-0-01", PARENT.upper(), PARENT + "-x"])
def test_what_is_no_traceparent_begins_a_new_trace(
    traces: SdkTraces, exporter: InMemorySpanExporter, parent: str | None
) -> None:
    with traces.span("one", parent=parent):
        pass
    assert ids(spans(traces, exporter)["one"])[2] is None


@given(st.text(max_size=80))
def test_no_text_of_any_shape_is_taken_for_one_by_accident(text: str) -> None:
    found = readable(text)
    assert found is None or (len(found) == 55 and found == text)


def test_a_caller_that_does_not_keep_its_trace_decides_for_ours(
    traces: SdkTraces, exporter: InMemorySpanExporter
) -> None:
    with traces.span("one", parent=UNSAMPLED):
        assert traceparent() is not None
    assert spans(traces, exporter) == {}


def test_a_span_may_have_begun_before(traces: SdkTraces, exporter: InMemorySpanExporter) -> None:
    with traces.span("stream", began_at=1_763_769_600_123):
        pass
    assert spans(traces, exporter)["stream"].start_time == 1_763_769_600_123_000_000


def test_an_error_marks_its_span_by_its_type_and_without_its_words(
    traces: SdkTraces, exporter: InMemorySpanExporter
) -> None:
    with pytest.raises(ValueError, match="what a user did"), traces.span("one"):
        raise ValueError("what a user did")
    span = spans(traces, exporter)["one"]
    assert (span.status.is_ok, span.status.description, span.events) == (False, "ValueError", ())
    assert traceparent() is None


async def test_tasks_do_not_mix_their_spans(traces: SdkTraces, exporter: InMemorySpanExporter) -> None:
    async def work(name: str) -> None:
        with traces.span(name):
            await asyncio.sleep(0)
            with traces.span(f"{name}-inner"):
                await asyncio.sleep(0)

    await asyncio.gather(work("a"), work("b"))
    found = spans(traces, exporter)
    for name in ("a", "b"):
        assert ids(found[f"{name}-inner"])[2] == ids(found[name])[1]


def test_in_the_log_a_span_is_one_line() -> None:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    said = io.StringIO()
    try:
        configure_logging("test", stream=said)
        traces = SdkTraces.to(log_exporter(), "test", 1.0)
        with traces.span("one", {"request_id": "r-1"}, parent=PARENT):
            pass
        traces.close()
    finally:
        root.handlers, root.level = before, level
    [line] = [json.loads(line) for line in said.getvalue().splitlines()]
    assert (line["event"], line["span"], line["about_request_id"]) == ("span", "one", "r-1")
    assert (line["trace_id"], line["parent_id"]) == (PARENT[3:35], PARENT[36:52])
    assert line["took_ms"] >= 0
    assert not line["failed"]


def test_untraced_nothing_is_handed_on() -> None:
    with Untraced().span("one", {"x": 1}, parent=PARENT):
        assert traceparent() is None
    assert isinstance(open_traces(TriggerSettings(), "trigger"), Untraced)


def test_settings_open_what_they_name() -> None:
    traces = open_traces(TriggerSettings(traces="log", traces_share=1.0), "trigger")
    assert isinstance(traces, SdkTraces)
    traces.close()
