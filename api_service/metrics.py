"""Prometheus metrics and traces of requests. Dashboards rely on the names and labels.

Each worker process writes its metrics to files in the folder named by METRICS_FOLDER_VARIABLE. The worker that serves
``/metrics`` merges them. Set the variable before this module is imported.
"""

import os
from http import HTTPStatus

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from api_service.settings import METRICS_FOLDER_VARIABLE
from shared.tracing import current_tracer, parse_traceparent, set_traceparent
from shared.vocabulary import Channel
from shared.web.instrumentation import RequestObserver, route

_registry = CollectorRegistry()

REGISTRATIONS = Counter("signpost_registrations_total", "Registrations committed.", ["channel"], registry=_registry)
for _channel in Channel:  # start at 0: Prometheus sees no increase in a series that appears with 1
    REGISTRATIONS.labels(_channel.value)
REQUEST_DURATION = Histogram(
    "signpost_http_request_duration_seconds",
    "From a request's first line to its response.",
    ["route", "method", "status"],
    registry=_registry,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30),
)


def exposition() -> bytes:
    """Return the metrics of all worker processes in Prometheus' text format."""
    if not os.environ.get(METRICS_FOLDER_VARIABLE):
        return generate_latest(_registry)
    merged = CollectorRegistry()
    MultiProcessCollector(merged)  # type: ignore[no-untyped-call] # prometheus_client types it in part
    return generate_latest(merged)


OBSERVER = RequestObserver(REQUEST_DURATION, methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def observe(app: Flask, *, is_https: bool) -> None:
    """Log, measure and trace every request. ``is_https`` enables HSTS, for clients that use HTTPS."""
    app.after_request(_end_trace)  # Flask calls these in reverse order, so this one runs last
    OBSERVER.watch(app, is_https=is_https)
    app.before_request(_start_trace)


def _start_trace() -> None:
    """Continue the client's trace, or start one if traces are recorded. Messages enqueued by the request join it."""
    parent = parse_traceparent(request.headers.get("traceparent"))
    tracer = current_tracer()
    g.span = tracer.start(f"{OBSERVER.method()} {route()}", parent) if tracer else None
    set_traceparent(g.span.traceparent if g.span else parent)


def _end_trace(response: Response) -> Response:
    if g.span:
        status = response.status_code
        attributes = {
            "http.request.method": OBSERVER.method(),
            "http.route": route(),
            "http.response.status_code": status,
        }
        g.span.end(attributes, has_failed=status >= HTTPStatus.INTERNAL_SERVER_ERROR)
    set_traceparent(None)
    return response
