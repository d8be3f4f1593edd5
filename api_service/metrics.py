"""Prometheus metrics and traces of requests. Dashboards rely on the names and labels.

Each worker process writes its metrics to files, and the admin listener merges them (``shared/web/admin.py``). Each
metric is a constant in capitals: a test compares them with the table in ``docs/reference/metrics.md``.
"""

from http import HTTPStatus

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from api_service.errors import HASH_POOLS
from shared.tracing import current_tracer, parse_traceparent, set_traceparent
from shared.vocabulary import Channel
from shared.web.app import RequestObserver, route

_registry = CollectorRegistry()

READY = Gauge(
    "signpost_api_ready",
    "Whether the database is writable and has a current schema.",
    registry=_registry,
    multiprocess_mode="max",  # only the parent process sets it
)
REGISTRATIONS = Counter("signpost_registrations_total", "Registrations committed.", ["channel"], registry=_registry)
for _channel in Channel:  # start at 0: Prometheus sees no increase in a series that appears with 1
    REGISTRATIONS.labels(_channel.value)
OVERLOADED = Counter(
    "signpost_overloaded_total", "Requests rejected because too many wait for a hash.", ["pool"], registry=_registry
)
for _pool in HASH_POOLS:
    OVERLOADED.labels(_pool)
SIGN_INS = Counter("signpost_sign_ins_total", "Sign-ins by outcome.", ["outcome"], registry=_registry)
for _outcome in ("succeeded", "failed"):
    SIGN_INS.labels(_outcome)
FAILED_SIGN_IN_NETWORKS = Counter(
    "signpost_failed_sign_in_networks_total",
    "Networks with a sign-in that failed or got 503 overloaded; each counts once a minute in each worker.",
    registry=_registry,
)
REQUEST_DURATION = Histogram(
    "signpost_http_request_duration_seconds",
    "From a request's first line to its response.",
    ["route", "method", "status"],
    registry=_registry,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30),
)


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
