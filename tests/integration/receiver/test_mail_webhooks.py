"""Webhooks of mail providers: stored and refused events."""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from receiver.callbacks.mail.routes import LONGEST_BODY_BYTES
from receiver.callbacks.metrics import RECEIPTS, REFUSED, REPEATED
from shared.reports.mail_ids import MailProvider
from shared.reports.return_paths import recipient_tag
from tests.support.callbacks import FEEDBACK_KEY, callback_app, reports
from tests.support.certificates import make_authority
from tests.support.databases import Database
from tests.support.forwarding import unused_port
from tests.support.mail_webhooks import (
    EVENTS,
    MESSAGE,
    RECIPIENT,
    SIGN,
    Signed,
    mail_settings,
    sendgrid_event,
    ses_event,
)
from tests.support.metrics import value_of
from tests.support.sns import LocalSns, local_sns

SENDGRID = MailProvider.SENDGRID
FAILING = """
create function fail() returns trigger language plpgsql as $$ begin raise 'stopping' using errcode = '57P01'; end $$;
create trigger failing before insert on delivery_reports
    for each row when (new.kind = 'delayed') execute function fail()
"""
STORED = [("bounced", "recipient", True, "5.1.1")]


@pytest.fixture
def client(database: Database) -> Iterator[FlaskClient]:
    with callback_app(database, **mail_settings()) as app:
        yield app.test_client()


@pytest.fixture(scope="module")
def sns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSns]:
    with local_sns(make_authority(tmp_path_factory.mktemp("sns"))) as sns:
        yield sns


def post(client: FlaskClient, provider: MailProvider, signed: Signed) -> Any:
    body, headers = signed
    return client.post(f"/callbacks/{provider}", data=body, headers=headers, content_type="application/json")


def signed(provider: MailProvider, event: Any = None) -> Signed:
    result: Signed = SIGN[provider](EVENTS[provider]() if event is None else event, time.time())
    return result


@pytest.mark.parametrize("provider", SIGN)
def test_a_bounce_is_stored_once_however_often_it_arrives(
    database: Database, client: FlaskClient, provider: MailProvider
) -> None:
    repeated = REPEATED.labels(provider)
    before, request = value_of(repeated), signed(provider)
    for _ in range(2):
        assert post(client, provider, request).status_code == 200
    assert reports(database) == STORED
    assert reports(database, "message_id, recipient_tag, provider, source") == [
        (MESSAGE, recipient_tag(RECIPIENT.lower(), FEEDBACK_KEY), None, provider)
    ]
    assert value_of(repeated) == before + 1


def test_an_event_of_ses_is_stored(
    database: Database, client: FlaskClient, sns: LocalSns, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sns.environment.items():
        monkeypatch.setenv(name, value)
        monkeypatch.delenv(name.lower(), raising=False)
    message = sns.signer.notification(ses_event())
    for changed, status in (({}, 200), ({}, 200), ({"Message": json.dumps(ses_event("Complaint"))}, 403)):
        response = client.post("/callbacks/ses", data=json.dumps(message | changed), content_type="text/plain")
        assert response.status_code == status
    assert reports(database) == STORED
    sns.status = 500
    with callback_app(database, **mail_settings()) as fresh:
        response = fresh.test_client().post("/callbacks/ses", data=json.dumps(message))
    assert (response.status_code, response.json["code"]) == (503, "sns_unavailable")


@pytest.mark.parametrize("provider", MailProvider)
def test_an_unsigned_request_is_refused_counted_and_without_effect(
    database: Database, client: FlaskClient, provider: MailProvider
) -> None:
    reason = "wrong_topic" if provider is MailProvider.SES else "wrong_signature"
    counted = REFUSED.labels(provider, reason)
    before = value_of(counted)
    body = json.dumps(EVENTS.get(provider, ses_event)()).encode()
    response = post(client, provider, (body, {}))
    assert (response.status_code, response.json["code"]) == (403, reason)
    assert value_of(counted) == before + 1
    assert reports(database) == []


def test_a_stale_request_is_refused_and_counted(database: Database, client: FlaskClient) -> None:
    counted = REFUSED.labels(SENDGRID, "stale_signature")
    before = value_of(counted)
    response = post(client, SENDGRID, SIGN[SENDGRID](EVENTS[SENDGRID](), time.time() - 600))
    assert (response.status_code, response.json["code"]) == (403, "stale_signature")
    assert value_of(counted) == before + 1
    assert reports(database) == []


@pytest.mark.parametrize("provider", SIGN)
def test_a_signed_body_that_is_no_json_object_is_malformed(client: FlaskClient, provider: MailProvider) -> None:
    if provider is MailProvider.MAILGUN:
        response = post(client, provider, (b"{", {}))  # its signature is in the JSON
    else:
        response = post(client, provider, signed(provider, "text"))
    assert (response.status_code, response.json["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("provider", MailProvider)
def test_a_huge_body_is_refused(client: FlaskClient, provider: MailProvider) -> None:
    assert post(client, provider, (b" " * (LONGEST_BODY_BYTES + 1), {})).status_code == 413


def test_a_batch_may_be_longer_than_the_body_of_a_gateway(database: Database, client: FlaskClient) -> None:
    batch = [sendgrid_event(signpost_message_id=str(uuid4())) for _ in range(1000)]
    assert post(client, SENDGRID, signed(SENDGRID, batch)).status_code == 200
    assert len(reports(database)) == 1000


def test_of_a_batch_news_about_own_messages_are_stored_and_the_others_counted(
    database: Database, client: FlaskClient
) -> None:
    kinds = ("bounced", "delivered", "no_news", "other_message")
    counted = [RECEIPTS.labels(SENDGRID, kind) for kind in kinds]
    before = [value_of(each) for each in counted]
    batch = [
        sendgrid_event(),
        sendgrid_event(event="open"),
        None,
        sendgrid_event(event="delivered", reason=None, status=None),
        sendgrid_event(signpost_message_id="of another application"),
        sendgrid_event(),
    ]
    assert post(client, SENDGRID, signed(SENDGRID, batch)).status_code == 200
    assert sorted(reports(database, "kind")) == [("bounced",), ("delivered",)]
    assert [value_of(each) - was for each, was in zip(counted, before, strict=True)] == [2, 1, 1, 1]


def test_a_batch_is_stored_as_a_whole_or_not_at_all(database: Database, client: FlaskClient) -> None:
    with database.connect() as owner:
        owner.execute(FAILING)
    batch = [sendgrid_event(signpost_message_id=str(uuid4())) for _ in range(5)]
    response = post(client, SENDGRID, signed(SENDGRID, [*batch, sendgrid_event(event="deferred")]))
    with database.connect() as owner:
        owner.execute("drop function fail cascade")  # another test uses the database next
    assert response.status_code == 503
    assert reports(database) == []


def test_an_event_is_refused_for_now_while_the_database_is_away(database: Database) -> None:
    nowhere = f"postgresql+psycopg://receiver@127.0.0.1:{unused_port()}/signpost"
    with callback_app(database, **mail_settings(), DATABASE_URL=nowhere) as app:
        response = post(app.test_client(), SENDGRID, signed(SENDGRID))
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
