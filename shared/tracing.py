"""Traces of OpenTelemetry, if the environment enables them.

A traceparent (W3C Trace Context) identifies a span. A message stores that of the request which enqueued it, so that its
delivery continues the same trace in another process.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from importlib import import_module
from typing import Protocol

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

# Version 00 only: later versions may have another format (W3C Trace Context §3.2.2).
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Attributes = Mapping[str, str | int]


class Span(Protocol):
    """An operation in progress."""

    traceparent: str

    def end(self, attributes: Attributes, *, has_failed: bool) -> None:
        """End the span."""


class Tracer(Protocol):
    """Create spans."""

    def start(self, name: str, parent: str | None) -> Span:
        """Start a span, in a new trace if there is no parent."""

    def record(
        self, name: str, parent: str | None, seconds: float, attributes: Attributes, *, has_failed: bool = False
    ) -> None:
        """Record a span of that duration that ends now."""


_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_tracer: Tracer | None = None


def parse_traceparent(header: str | None) -> str | None:
    """Return the header if it is a valid traceparent, else None."""
    return header if header and _TRACEPARENT.fullmatch(header) else None


def current_traceparent() -> str | None:
    """Return the traceparent of this thread or task, if any."""
    return _current.get()


def set_traceparent(traceparent: str | None) -> None:
    """Set the traceparent of this thread or task."""
    _current.set(traceparent)


def current_tracer() -> Tracer | None:
    """Return the process's tracer, or None if traces are disabled."""
    return _tracer


def set_tracer(tracer: Tracer | None) -> None:
    """Set the process's tracer."""
    global _tracer  # noqa: PLW0603 - one per process, like its log
    _tracer = tracer


def is_tracing_enabled(environment: Mapping[str, str]) -> bool:
    """Return whether the environment has an endpoint for traces and does not disable them."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    is_none = environment.get("OTEL_TRACES_EXPORTER", "otlp") == "none"
    return any(environment.get(name) for name in ENDPOINTS) and not (is_off or is_none)


def start_tracing(service: str, environment: Mapping[str, str]) -> None:
    """Start exporting traces if they are enabled. Call it after a fork, which background threads do not survive."""
    if is_tracing_enabled(environment):
        # Imported by name, so that a process without traces does not load OpenTelemetry.
        set_tracer(import_module("shared.otel").exporting_tracer(service))
