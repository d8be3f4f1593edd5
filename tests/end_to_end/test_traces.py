"""API and relay processes that export traces to a collector."""

import pytest

from tests.support import plain_http
from tests.support.eventually import eventually
from tests.support.mail_sink import MailSink
from tests.support.otlp_receiver import OtlpReceiver, Received, otlp_receiver
from tests.support.outbox import Outbox
from tests.support.processes import running_api
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BODY = {"email": "ada@example.org", "password": "four quiet words here"}
EACH_STEP = [
    ("api-service", "POST /v1/registrations"),
    ("api-service", "transaction"),
    ("outbox-relay", "claim"),
    ("outbox-relay", "deliver"),
    ("outbox-relay", "settle"),
]


def test_one_trace_spans_the_client_request_and_the_settlement_in_the_relay(outbox: Outbox, sink: MailSink) -> None:
    with otlp_receiver() as receiver:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with (
            running_api(outbox.database, **settings) as api,
            running_relay(outbox.database, EMAIL_PROVIDERS=sink.provider, **settings),
        ):
            headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            response = plain_http.post(f"{api.base_url}/v1/registrations", json=BODY, headers=headers, timeout=30)
            assert response.status_code == 202
            eventually(lambda: set(EACH_STEP) <= {(span.service, span.name) for span in of_trace(receiver)}, seconds=30)
        spans = {span.name: span for span in of_trace(receiver)}
    request = spans["POST /v1/registrations"]
    assert request.parent_id == SPAN
    assert {spans[name].parent_id for _, name in EACH_STEP[1:]} == {request.span_id}


def of_trace(receiver: OtlpReceiver) -> list[Received]:
    return [span for span in receiver.spans if span.trace_id == TRACE]
