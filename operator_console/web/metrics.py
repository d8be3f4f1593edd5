"""The console's metrics, which the admin listener serves, and the observation of requests."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.web.app import RequestObserver

_registry = CollectorRegistry()

READY = Gauge(
    "signpost_console_ready",
    "Whether the database is writable and has a current schema.",
    registry=_registry,
    multiprocess_mode="max",  # only the parent process sets it
)
REQUEST_DURATION = Histogram(
    "signpost_console_request_duration_seconds",
    "Time from a request's first line to its response.",
    ["route", "method", "status"],
    registry=_registry,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
WRONG_TOKENS = Counter(
    "signpost_console_wrong_tokens_total", "Tokens that were unknown, expired or revoked.", registry=_registry
)
OBSERVER = RequestObserver(
    REQUEST_DURATION,
    methods=("GET", "HEAD", "POST", "OPTIONS"),
    headers={
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    },
)
