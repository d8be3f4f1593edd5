"""What the console counts, for Prometheus. It is one process, so that these are all there is."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_registry = CollectorRegistry()

REQUEST_DURATION = Histogram(
    "signpost_console_request_duration_seconds",
    "From a request's first line to its answer.",
    ["route", "method", "status"],
    registry=_registry,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
WRONG_TOKENS = Counter(
    "signpost_console_wrong_tokens_total", "Tokens that were not known, expired or revoked.", registry=_registry
)


def exposition() -> bytes:
    """Return the counts in Prometheus' text format."""
    return generate_latest(_registry)
