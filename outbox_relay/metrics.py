"""The relay's metrics for Prometheus. Dashboards and alarms depend on their names and labels."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import product

from prometheus_client import Counter, Gauge, Histogram

from outbox_relay.failures.network import FailureCategory, category_of
from outbox_relay.model import Dead, Deferred, Failure, Outcome, RenderedMessage, Retry, Scope, Sent, Settlement
from outbox_relay.sms_segments import segments_in
from shared.reports.report import BounceCause, ReportKind, ReportSource
from shared.templates import TEMPLATES
from shared.vocabulary import Channel, DeadReason, HealthStatus, Work, WorkChannel

SETTLED = Counter(
    "signpost_messages_settled_total",
    "Outcomes written to the outbox.",
    ["channel", "template", "outcome", "dead_reason"],
)
ACCEPT_LATENCY = Histogram(
    "signpost_accept_latency_seconds",
    "From the message's commit until the provider accepts it.",
    ["channel"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600),
)
DELIVERY_DURATION = Histogram(
    "signpost_delivery_duration_seconds",
    "From taking a message to the provider's reply.",
    ["provider"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
)
STEP_DURATION = Histogram(
    "signpost_provisioning_step_duration_seconds",
    "From the beginning of a step of an organization's provisioning to its end.",
    ["step"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
)
SMS_SEGMENTS = Counter(
    "signpost_sms_segments_total",
    "Segments of the SMS that providers have accepted.",
    ["provider"],
)
RECEIPTS = Counter(
    "signpost_smpp_receipts_total",
    "Messages from an SMSC by kind: receipts, and `no_news`, `no_receipt`, `unreadable` and `not_stored`.",
    ["provider", "kind"],
)
FALLBACKS = Counter("signpost_fallbacks_total", "Messages that fell back, by the channel they went to.", ["channel"])
FALLBACKS_OVER_BUDGET = Counter(
    "signpost_fallbacks_over_budget_total", "Messages that may not fall back: a budget is used up.", ["scope"]
)
DELIVERY_REPORTS = Counter(
    "signpost_delivery_reports_total",
    "Delivery reports that count, as they are applied. The cause is empty unless a message bounced.",
    ["kind", "cause", "source"],
)
REPORTS_UNMATCHED = Gauge(
    "signpost_reports_unmatched",
    "Delivery reports that match no message for ten minutes; 0 unless this relay holds the leader lease.",
)
PROVIDER_FAILURES = Counter(
    "signpost_provider_failures_total",
    "Failures of a provider's own, by category: certificate, credentials, token or other.",
    ["provider", "category"],
)
ORGANIZATIONS_DROPPED = Counter(
    "signpost_organizations_dropped_total", "Failed organizations whose databases were dropped."
)
BREAKER_OPEN = Gauge(
    "signpost_breaker_open", "1 while a provider's circuit breaker is open or half open.", ["provider"]
)
PAUSED = Gauge(
    "signpost_paused", "1 for each provider, channel and template that an operator has paused.", ["kind", "name"]
)
RATE_WAIT = Gauge("signpost_rate_wait_seconds", "Until a provider's rate allows the next message.", ["provider"])
BACKLOG = Gauge("signpost_backlog_messages", "Messages due now; 0 if relays hold all of the channel.", ["channel"])
BACKLOG_LAG = Gauge(
    "signpost_backlog_lag_seconds", "Age of the oldest message that is due and not held by a relay.", ["channel"]
)

DIGESTS = Counter("signpost_digests_total", "Operator digests by channel: sent or failed.", ["channel", "outcome"])
RELAY_READY = Gauge("signpost_relay_ready", "1 while the relay is ready, as /readyz reports.")

PARTITIONS_AHEAD = Gauge(
    "signpost_partitions_ahead_days",
    "Days after today until the first without a partition; 0 unless this relay holds the leader lease.",
)
ORGANIZATION_CHECKS = Counter(
    "signpost_organization_checks_total", "Health checks of organizations' databases, by result.", ["health"]
)
ORGANIZATION_CHECK_DURATION = Histogram(
    "signpost_organization_check_duration_seconds",
    "One health check of an organization's database.",
    ["health"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
ORGANIZATIONS = Gauge(
    "signpost_organizations", "Ready organizations, by the result of the last health check.", ["health"]
)
ORGANIZATIONS_BEHIND = Gauge(
    "signpost_organizations_behind", "Organizations whose databases have another revision than ORGANIZATION_MIGRATIONS."
)

MAINTENANCE_DONE = Gauge(
    "signpost_maintenance_last_success_timestamp_seconds",
    "When this relay last completed the maintenance; 0 unless it holds the leader lease.",
)

OUTCOMES = [
    *((kind.word, "") for kind in (Sent, Retry, Deferred)),
    *((Dead.word, reason.value) for reason in DeadReason),
]

# For Prometheus, the first value of a new counter is not an increase. So the counters that alarms use start at 0.
for _channel, _template in (*product(Channel, TEMPLATES), *product(WorkChannel, Work)):
    for _labels in OUTCOMES:
        SETTLED.labels(_channel.value, _template, *_labels)
for _kind, _source in product(ReportKind, ReportSource):
    for _cause in BounceCause if _kind is ReportKind.BOUNCED else [""]:
        DELIVERY_REPORTS.labels(_kind.value, _cause, _source.value)
for _scope in Scope:
    FALLBACKS_OVER_BUDGET.labels(_scope.value)
for _status in HealthStatus:
    ORGANIZATION_CHECKS.labels(_status.value)
for _sender, _outcome in (("email", "sent"), ("webhook", "sent"), ("webhook", "failed")):
    DIGESTS.labels(_sender, _outcome)


def register_provider(name: str, rate_wait: Callable[[], float] | None) -> None:
    """Show a provider, with 0 where there is no value yet; ``rate_wait`` is None for a provider without a rate.

    After a reload, the gauge of the breaker keeps its value until the state is known again.
    """
    BREAKER_OPEN.labels(name)
    for category in FailureCategory:
        PROVIDER_FAILURES.labels(name, category.value)
    if rate_wait:
        RATE_WAIT.labels(name).set_function(rate_wait)
    else:
        with suppress(KeyError):
            RATE_WAIT.remove(name)


def forget_providers(names: Iterable[str]) -> None:
    """Remove the metrics of providers that are no longer configured.

    Otherwise, a provider that was removed because it was down would be shown as down forever.
    """
    for name in names:
        for gauge in (BREAKER_OPEN, RATE_WAIT):
            with suppress(KeyError):
                gauge.remove(name)


def count_check(health: str, seconds: float) -> None:
    """Count one look at an organization's database."""
    ORGANIZATION_CHECKS.labels(health).inc()
    ORGANIZATION_CHECK_DURATION.labels(health).observe(seconds)


def set_organization_gauges(by_health: Mapping[str, int], behind: int) -> None:
    """Set how many organizations have each health status.

    A status without organizations is set to 0, so that its alarm ends.
    """
    for health in {*(status.value for status in HealthStatus), *by_health}:
        ORGANIZATIONS.labels(health).set(by_health.get(health, 0))
    ORGANIZATIONS_BEHIND.set(behind)


def count_settled(settlements: Iterable[Settlement]) -> None:
    """Count outcomes as they are written."""
    tally = Tally([(message.channel, message.template, _outcome_labels(outcome)) for message, outcome in settlements])
    for (channel, template, labels), count in tally.items():
        SETTLED.labels(channel.value, template, *labels).inc(count)


def count_failure(failure: Failure, provider: str) -> None:
    """Count a failure of the provider's own."""
    PROVIDER_FAILURES.labels(provider, category_of(failure.error).value).inc()


def count_segments(rendered: RenderedMessage, provider: str) -> None:
    """Count the segments of an accepted SMS, because the provider charges per segment."""
    if rendered.message.channel is Channel.SMS:
        SMS_SEGMENTS.labels(provider).inc(segments_in(rendered.content.decode()))


def _outcome_labels(outcome: Outcome) -> tuple[str, str]:
    """Return outcome and dead_reason."""
    return outcome.word, outcome.reason.value if isinstance(outcome, Dead) else ""
