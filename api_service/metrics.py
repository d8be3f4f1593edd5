"""What the API counts, for Prometheus; dashboards rely on names and labels.

Under gunicorn each worker process counts in files of its own, in the folder that
COUNTS_FOLDER_VARIABLE names, and whichever worker is asked adds them all up. The variable must
be set before this module is imported.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from api_service.settings import COUNTS_FOLDER_VARIABLE
from shared.vocabulary import Channel

_registry = CollectorRegistry()

REGISTRATIONS = Counter("signpost_registrations_total", "Registrations committed.", ["channel"], registry=_registry)
for _channel in Channel:  # Prometheus takes no step from nothing to one for an increase
    REGISTRATIONS.labels(_channel.value)
REQUEST_DURATION = Histogram(
    "signpost_http_request_duration_seconds",
    "From a request's first line to its answer.",
    ["route", "method", "status"],
    registry=_registry,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30),
)


def exposition() -> bytes:
    """Return the counts of all worker processes in Prometheus' text format."""
    if not os.environ.get(COUNTS_FOLDER_VARIABLE):
        return generate_latest(_registry)
    merged = CollectorRegistry()
    MultiProcessCollector(merged)  # type: ignore[no-untyped-call] # prometheus_client types it in part
    return generate_latest(merged)
