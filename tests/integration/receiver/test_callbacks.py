import json
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient

from receiver.callbacks.metrics import RECEIPTS, REFUSED, REPEATED
from shared.reports.return_paths import Gateway, recipient_tag
from tests.support.callbacks import (
    AUTH_TOKEN,
    FEEDBACK_KEY,
    NUMBER,
    callback_app,
    path_for,
    reports,
    twilio_signature,
    url_for,
)
from tests.support.databases import Database, is_refused
from tests.support.forwarding import unused_port
from tests.support.metrics import value_of

MESSAGE = UUID("01a20b60-dd2c-76fb-8a8d-5af8658b6493")
UNDELIVERED = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005", "To": NUMBER}
DELIVERED = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": NUMBER}


@pytest.fixture
def client(database: Database) -> Iterator[FlaskClient]:
    with callback_app(database) as app:
        yield app.test_client()


def post_from_twilio(client: FlaskClient, form: dict[str, str], token: str = AUTH_TOKEN) -> int:
    headers = twilio_signature(url_for(Gateway.TWILIO, MESSAGE), form, token)
    return client.post(path_for(Gateway.TWILIO, MESSAGE), data=form, headers=headers).status_code


def test_a_status_callback_of_twilio_is_stored(database: Database, client: FlaskClient) -> None:
    assert post_from_twilio(client, UNDELIVERED) == 204
    assert reports(database, "message_id, recipient_tag, provider, provider_message_id, source") == [
        (MESSAGE, recipient_tag(NUMBER, FEEDBACK_KEY), None, "SM1", "twilio")
    ]
    assert reports(database) == [("bounced", "recipient", True, "30005")]


@pytest.mark.parametrize("status", ["queued", "sent"])
def test_a_status_on_the_way_is_acknowledged_and_not_stored(
    database: Database, client: FlaskClient, status: str
) -> None:
    assert post_from_twilio(client, DELIVERED | {"MessageStatus": status}) == 204
    assert reports(database) == []


def test_without_twilios_signature_nothing_is_stored(database: Database, client: FlaskClient) -> None:
    counted = REFUSED.labels(Gateway.TWILIO, "wrong_signature")
    before = value_of(counted)
    assert post_from_twilio(client, DELIVERED, "another token of an account") == 403
    assert client.post(path_for(Gateway.TWILIO, MESSAGE), data=DELIVERED).status_code == 403
    assert reports(database) == []
    assert value_of(counted) == before + 2


def test_twilio_is_refused_without_an_auth_token(database: Database) -> None:
    with callback_app(database, TWILIO_AUTH_TOKEN="") as app:
        assert post_from_twilio(app.test_client(), DELIVERED, "") == 403


@pytest.mark.parametrize(
    ("kind", "answer", "stored"),
    [
        (1, "id:7 stat:DELIVRD err:000 text:Your code is 123456", ("delivered", None, False, "DELIVRD 000", None)),
        (2, "id:7 stat:UNDELIV err:001", ("bounced", "recipient", True, "UNDELIV 001", None)),
        (2, "id:7 stat:EXPIRED err:000", ("bounced", "other", False, "EXPIRED 000", None)),
        (2, "", ("bounced", "other", True, None, None)),
        (4, "", ("delayed", None, False, None, None)),
        (
            16,
            "NACK/11/Invalid Destination Address",
            ("bounced", "recipient", True, "NACK/11", "NACK/11/Invalid Destination Address"),
        ),
        (16, "NACK/8/System Error", ("bounced", "other", True, "NACK/8", "NACK/8/System Error")),
    ],
)
def test_a_delivery_report_of_kannel_is_stored_without_the_messages_text(
    database: Database, client: FlaskClient, kind: int, answer: str, stored: tuple[object, ...]
) -> None:
    query = {"type": str(kind), "id": "7", "answer": answer}
    assert client.get(path_for(Gateway.KANNEL, MESSAGE), query_string=query).status_code == 200
    assert reports(database, "kind, cause, is_permanent, status_code, diagnostic") == [stored]


def test_a_head_request_stores_nothing(database: Database, client: FlaskClient) -> None:
    response = client.head(path_for(Gateway.KANNEL, MESSAGE), query_string={"type": "1"})
    assert (response.status_code, response.headers["Allow"]) == (405, "GET")
    assert reports(database) == []


@pytest.mark.parametrize("kind", ["8", "0", "3", "many", ""])
def test_kannel_reports_that_are_no_news_are_acknowledged(database: Database, client: FlaskClient, kind: str) -> None:
    assert client.get(path_for(Gateway.KANNEL, MESSAGE), query_string={"type": kind}).status_code == 200
    assert reports(database) == []


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        ({"status": "delivered", "at": "2026-11-25T01:02:03Z", "more": 1}, ("delivered", None, False, None)),
        ({"status": "delayed"}, ("delayed", None, False, None)),
        ({"status": "failed"}, ("bounced", "other", True, None)),
        ({"status": "failed", "code": "invalid_recipient"}, ("bounced", "recipient", True, "invalid_recipient")),
        ({"status": "failed", "code": "invalid_content"}, ("bounced", "content", True, "invalid_content")),
    ],
)
def test_a_receipt_of_a_json_gateway_is_stored(
    database: Database, client: FlaskClient, body: dict[str, object], stored: tuple[object, ...]
) -> None:
    assert client.post(path_for(Gateway.JSON, MESSAGE), json=body).status_code == 204
    assert reports(database) == [stored]


@pytest.mark.parametrize(
    ("body", "violation"),
    [
        ([], {"pointer": "#", "code": "invalid_type"}),
        (None, {"pointer": "#", "code": "invalid_type"}),
        ({}, {"pointer": "#/status", "code": "required"}),
        ({"status": "sent"}, {"pointer": "#/status", "code": "invalid_choice"}),
        ({"status": "failed", "code": 7}, {"pointer": "#/code", "code": "invalid_type"}),
        ({"status": "failed", "code": "c" * 41}, {"pointer": "#/code", "code": "too_long"}),
        ({"status": "failed", "detail": "d" * 1001}, {"pointer": "#/detail", "code": "too_long"}),
        ({"status": "delivered", "at": "yesterday"}, {"pointer": "#/at", "code": "invalid_time"}),
        ({"status": "delivered", "at": "0001-01-01T00:00:00+10:00"}, {"pointer": "#/at", "code": "invalid_time"}),
        ({"status": "delivered", "at": "2026-11-25T01:02:03"}, {"pointer": "#/at", "code": "invalid_time"}),
    ],
)
def test_an_invalid_receipt_is_refused_with_its_violations(
    database: Database, client: FlaskClient, body: object, violation: dict[str, str]
) -> None:
    response = client.post(path_for(Gateway.JSON, MESSAGE), data=json.dumps(body), content_type="application/json")
    assert response.status_code == 422
    [error] = response.json["errors"]
    assert violation.items() <= error.items()
    assert reports(database) == []


@pytest.mark.parametrize("gateway", Gateway)
def test_a_wrong_mac_is_not_found_and_counted(database: Database, client: FlaskClient, gateway: Gateway) -> None:
    counted = REFUSED.labels(gateway, "wrong_mac")
    before = value_of(counted)
    forged = path_for(gateway, MESSAGE, key=b"x" * 32)
    another = path_for(next(each for each in Gateway if each is not gateway), MESSAGE).rpartition("/")[2]
    for path in (forged, forged.rpartition("/")[0] + "/" + another):
        call = client.get if gateway is Gateway.KANNEL else client.post
        assert call(path).status_code == 404
    assert value_of(counted) == before + 2
    assert reports(database) == []


def test_a_url_of_a_former_key_is_still_valid(database: Database, client: FlaskClient) -> None:
    path = path_for(Gateway.JSON, MESSAGE, key=b"o" * 32)
    assert client.post(path, json={"status": "delivered"}).status_code == 204
    assert len(reports(database)) == 1


def test_a_repeated_receipt_is_acknowledged_counted_and_stored_once(database: Database, client: FlaskClient) -> None:
    repeated = REPEATED.labels(Gateway.TWILIO)
    before = value_of(repeated)
    for form in (DELIVERED, UNDELIVERED, DELIVERED, UNDELIVERED):
        assert post_from_twilio(client, form) == 204
    assert sorted(kind for (kind,) in reports(database, "kind")) == ["bounced", "delivered"]
    assert value_of(repeated) == before + 2


def test_a_receipt_is_refused_for_now_while_the_database_is_away(database: Database) -> None:
    nowhere = f"postgresql+psycopg://receiver@127.0.0.1:{unused_port()}/signpost"
    with callback_app(database, DATABASE_URL=nowhere) as app:
        response = app.test_client().post(path_for(Gateway.JSON, MESSAGE), json={"status": "delivered"})
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0


def test_a_long_body_is_refused(client: FlaskClient) -> None:
    body = {"status": "delivered", "detail": "d" * 20_000}
    assert client.post(path_for(Gateway.JSON, MESSAGE), json=body).status_code == 413
    assert post_from_twilio(client, DELIVERED | {"Body": "b" * 20_000}) == 413


def test_texts_that_postgresql_rejects_are_cleaned(database: Database, client: FlaskClient) -> None:
    query = {"type": "16", "id": "\0\ud800".encode("utf-8", "surrogatepass"), "answer": "NACK/\0"}
    assert client.get(path_for(Gateway.KANNEL, MESSAGE), query_string=query).status_code == 200
    assert len(reports(database)) == 1


def test_the_receivers_role_can_only_insert(database: Database) -> None:
    for statement in ("select kind from delivery_reports", "delete from delivery_reports", "select id from users"):
        assert is_refused(database.receiver_url, statement)
    assert is_refused(database.receiver_url, "update delivery_reports set applied_at = now()")


def test_receipts_are_counted_by_kind(client: FlaskClient) -> None:
    counted = RECEIPTS.labels(Gateway.JSON, "delivered")
    before = value_of(counted)
    client.post(path_for(Gateway.JSON, uuid4()), json={"status": "delivered"})
    assert value_of(counted) == before + 1
