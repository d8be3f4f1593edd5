"""One trace spans the request and the settlement, as recorded in this process."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from devstack.cluster import Cluster
from outbox_relay.once import run_once
from outbox_relay.settings import RelaySettingsSchema
from shared.otel import OtelTracer
from shared.tracing import current_traceparent, set_tracer
from tests.support.api import ApiUnderTest, api_on
from tests.support.databases import Database, fresh_database
from tests.support.relays import relay_environment

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
STORED = "select traceparent from outbox_messages order by id desc limit 1"
BODY = {"email": "ada@example.org", "password": "four quiet words here"}


@pytest.fixture(scope="module")
def shared_database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    recorder = OtelTracer("signpost", SimpleSpanProcessor(exporter))
    set_tracer(recorder)
    yield exporter
    set_tracer(None)
    recorder.close()


def register(api: ApiUnderTest, headers: dict[str, str]) -> str | None:
    """Register a user, and return the trace context stored with the message."""
    assert api.client.post("/v1/registrations", json=BODY, headers=headers).status_code == 202
    with api.database.connect() as owner:
        [(stored,)] = owner.execute(STORED).fetchall()
    return None if stored is None else str(stored)


def test_a_clients_trace_is_stored_with_its_message_without_recording(shared_database: Database) -> None:
    with api_on(shared_database) as api:
        assert register(api, HEADER) == HEADER["traceparent"]
        assert register(api, {}) is None
        assert register(api, {"traceparent": "00-' or 1=1-00-01"}) is None
        assert current_traceparent() is None


def test_a_request_without_a_trace_starts_one_if_traces_are_recorded(
    shared_database: Database, spans: InMemorySpanExporter
) -> None:
    with api_on(shared_database) as api:
        stored = register(api, {})
    [request] = named(spans, "POST /v1/registrations")
    assert stored
    assert stored.startswith(f"00-{request.context.trace_id:032x}-{request.context.span_id:016x}-")
    assert request.parent is None
    assert request.attributes["http.response.status_code"] == 202


def test_the_delivery_continues_the_trace_of_the_request(
    database: Database, spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    with api_on(database) as api:
        stored = register(api, HEADER)
    settings = RelaySettingsSchema().read(relay_environment(database, EMAIL_PROVIDERS=f"file://{tmp_path}"))
    assert asyncio.run(run_once(settings))
    [request] = named(spans, "POST /v1/registrations")
    assert f"{request.parent.span_id:016x}" == SPAN
    assert stored == f"00-{TRACE}-{request.context.span_id:016x}-01"
    for name in ("transaction", "claim", "deliver", "settle"):
        [span] = [span for span in named(spans, name) if f"{span.context.trace_id:032x}" == TRACE]
        assert span.parent.span_id == request.context.span_id
        assert span.start_time <= span.end_time
    [deliver], [settle] = named(spans, "deliver"), named(spans, "settle")
    assert deliver.attributes["signpost.attempt"] == 1
    assert settle.attributes["signpost.outcome"] == "sent"
    assert "ada@example.org" not in " ".join(span.to_json() for span in spans.get_finished_spans())


def test_a_failed_attempt_is_marked_in_the_trace(database: Database, spans: InMemorySpanExporter) -> None:
    with api_on(database) as api:
        register(api, HEADER)
    settings = RelaySettingsSchema().read(relay_environment(database, EMAIL_PROVIDERS="file:///proc/nowhere"))
    assert not asyncio.run(run_once(settings))
    assert {span.attributes["signpost.outcome"] for span in named(spans, "settle")} == {"deferred"}


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]
