"""The metrics of the receiver of callbacks, which the admin listener serves, and the observation of requests."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.reports.mail_ids import MailProvider
from shared.reports.return_paths import Gateway
from shared.web.app import RequestObserver

_registry = CollectorRegistry()

READY = Gauge(
    "signpost_callbacks_ready",
    "Whether the database is writable and has a current schema.",
    registry=_registry,
    multiprocess_mode="max",  # only the parent process sets it
)
REQUEST_DURATION = Histogram(
    "signpost_callbacks_request_duration_seconds",
    "Time from a request's first line to its response.",
    ["route", "method", "status"],
    registry=_registry,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
RECEIPTS = Counter(
    "signpost_callbacks_receipts_total",
    "Receipts and events by gateway or provider and kind. `no_news`: such as that the message is on its way."
    " `other_message`: of another application's mail.",
    ["gateway", "kind"],
    registry=_registry,
)
REPEATED = Counter(
    "signpost_callbacks_repeated_total", "Receipts that were stored before.", ["gateway"], registry=_registry
)
REFUSED = Counter(
    "signpost_callbacks_refused_total",
    "Callbacks that were refused: `wrong_mac` in the address, `wrong_signature`, `stale_signature` or `wrong_topic`.",
    ["gateway", "reason"],
    registry=_registry,
)
for _gateway in Gateway:
    # For Prometheus, the first value of a new counter is not an increase.
    REFUSED.labels(_gateway, "wrong_mac")
REFUSED.labels(Gateway.TWILIO, "wrong_signature")
for _provider in MailProvider:
    REFUSED.labels(_provider, "wrong_signature")
for _provider in (MailProvider.SES, MailProvider.SENDGRID, MailProvider.MAILGUN, MailProvider.RESEND):
    REFUSED.labels(_provider, "stale_signature")
REFUSED.labels(MailProvider.SES, "wrong_topic")
OBSERVER = RequestObserver(
    REQUEST_DURATION,
    methods=("GET", "POST"),
    headers={"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"},
)
