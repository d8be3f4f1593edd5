"""A tracer with OpenTelemetry, from the extra `traces`. Imported only if traces are enabled."""

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

from shared.tracing import Attributes

NANOSECONDS = 1_000_000_000


class OtelSpan:
    """Implements ``tracing.Span``."""

    def __init__(self, span: ApiSpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def end(self, attributes: Attributes, *, has_failed: bool) -> None:
        """End the span."""
        self._span.set_attributes(attributes)
        if has_failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class OtelTracer:
    """Implements ``tracing.Tracer``. OpenTelemetry reads sampling and limits from the environment."""

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        ours = Resource({"service.name": service, "service.version": version("signpost")})
        self._provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("signpost", version("signpost"))

    def start(self, name: str, parent: str | None) -> OtelSpan:
        """Start the span of a client's request."""
        return OtelSpan(self._tracer.start_span(name, _context_of(parent), kind=SpanKind.SERVER))

    def record(
        self, name: str, parent: str | None, seconds: float, attributes: Attributes, *, has_failed: bool = False
    ) -> None:
        """Record a span of that duration that ends now."""
        ended = time.time_ns()
        started = ended - int(seconds * NANOSECONDS)
        span = self._tracer.start_span(name, _context_of(parent), attributes=attributes, start_time=started)
        if has_failed:
            span.set_status(Status(StatusCode.ERROR))
        if isinstance(span, SdkSpan):
            span.end(ended)

    def close(self) -> None:
        """Export the remaining spans."""
        self._provider.shutdown()


def _context_of(traceparent: str | None) -> Context:
    """Return the parent context, or a context without a parent."""
    if traceparent is None:
        return set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))
    _, trace_id, span_id, flags = traceparent.split("-")
    remote = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(remote))


def exporting_tracer(service: str) -> OtelTracer:
    """Return a tracer that exports in the background, to the collector in OTEL_EXPORTER_OTLP_…."""
    return OtelTracer(service, BatchSpanProcessor(OTLPSpanExporter()))
