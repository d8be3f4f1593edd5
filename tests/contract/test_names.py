"""Names that external users rely on: columns for psql, metrics for dashboards and alarms."""

import pytest
from prometheus_client import Counter, Gauge, Histogram

from api_service import metrics as api_metrics
from outbox_relay import metrics as relay_metrics
from tests.support.databases import Database

COLUMNS = {
    "outbox_messages": (
        "id", "template", "channel", "recipient", "locale", "payload", "user_id", "token_id", "status", "dead_reason",
        "attempt", "max_attempts", "lost_leases", "due_at", "leased_until", "lease_token", "expires_at", "provider",
        "provider_message_id", "last_error_class", "last_error", "traceparent", "created_at", "settled_at",
        "priority",
    ),
    "dead_letters": (
        "id", "template", "channel", "recipient", "dead_reason", "attempt", "provider", "last_error_class",
        "last_error", "created_at", "settled_at",
    ),
    "outbox_backlog": ("channel", "due", "leased", "pending", "lag_seconds"),
}  # fmt: skip

METRICS = {
    "signpost_registrations_total": ("channel",),
    "signpost_http_request_duration_seconds": ("route", "method", "status"),
    "signpost_messages_settled_total": ("channel", "template", "outcome", "dead_reason"),
    "signpost_delivery_duration_seconds": ("provider",),
    "signpost_accept_latency_seconds": ("channel",),
    "signpost_backlog_messages": ("channel",),
    "signpost_backlog_lag_seconds": ("channel",),
    "signpost_breaker_open": ("provider",),
    "signpost_maintenance_last_success_timestamp_seconds": (),
    "signpost_sms_segments_total": ("provider",),
    "signpost_paused": ("kind", "name"),
    "signpost_rate_wait_seconds": ("provider",),
    "signpost_fallbacks_total": ("channel",),
    "signpost_fallbacks_over_budget_total": ("scope",),
    "signpost_delivery_reports_total": ("kind", "cause", "source"),
}


@pytest.mark.parametrize("relation", COLUMNS)
def test_each_table_and_view_has_its_published_columns(database: Database, relation: str) -> None:
    with database.connect() as connection:
        columns = [column.name for column in connection.execute(f"select * from {relation} limit 0").description or ()]
    # An additional column is compatible.
    assert [name for name in COLUMNS[relation] if name not in columns] == []


def test_the_metrics_have_their_published_names_and_labels() -> None:
    found = labels_by_name(api_metrics) | labels_by_name(relay_metrics)
    assert {name: found.get(name) for name in METRICS} == METRICS


def labels_by_name(module: object) -> dict[str, tuple[str, ...]]:
    values = vars(module).values()
    metrics = [value for value in values if isinstance(value, Counter | Gauge | Histogram)]
    return {exposed_name(metric): tuple(metric._labelnames) for metric in metrics}  # noqa: SLF001 - no public attribute has the labels


def exposed_name(metric: Counter | Gauge | Histogram) -> str:
    described = next(iter(metric.describe()))
    return f"{described.name}_total" if isinstance(metric, Counter) else described.name
