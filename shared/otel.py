"""Traces by OpenTelemetry, of the extra `traces`; imported only where that is wanted."""

import time
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as ApiSpan

from shared.tracing import Facts

NANOSECONDS = 1_000_000_000


class OtelSpan:
    """See ``tracing.Span``."""

    def __init__(self, span: ApiSpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def end(self, facts: Facts, *, has_failed: bool) -> None:
        """Say how it ended."""
        self._span.set_attributes(facts)
        if has_failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class OtelRecorder:
    """See ``tracing.Recorder``; sampling and limits are as OTEL_… in the environment says."""

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        ours = Resource({"service.name": service, "service.version": version("signpost")})
        self._provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("signpost", version("signpost"))

    def begin(self, name: str, parent: str | None) -> OtelSpan:
        """Begin something that a client has asked for."""
        return OtelSpan(self._tracer.start_span(name, context_of(parent), kind=SpanKind.SERVER))

    def record(self, name: str, parent: str | None, seconds: float, facts: Facts, *, has_failed: bool = False) -> None:
        """Take down what has ended just now and took so long."""
        ended = time.time_ns()
        began = ended - int(seconds * NANOSECONDS)
        span = self._tracer.start_span(name, context_of(parent), attributes=facts, start_time=began)
        if has_failed:
            span.set_status(Status(StatusCode.ERROR))
        if isinstance(span, SdkSpan):
            span.end(ended)

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()


def context_of(traceparent: str | None) -> Context:
    """Return what a span of that trace begins in; without one, a trace of its own."""
    if traceparent is None:
        return set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))
    _, trace_id, span_id, flags = traceparent.split("-")
    remote = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(remote))


def exporting_recorder(service: str) -> OtelRecorder:
    """Return one that posts to the collector that OTEL_EXPORTER_OTLP_… in the environment names, in the background."""
    return OtelRecorder(service, BatchSpanProcessor(OTLPSpanExporter()))
