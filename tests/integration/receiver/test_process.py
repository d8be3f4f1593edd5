"""The receiver of callbacks as a process: its log, its probes and its settings."""

import json
import time
from pathlib import Path
from uuid import UUID

import httpx

from shared.reports.mail_ids import MailProvider
from shared.reports.return_paths import Gateway
from tests.support import plain_http
from tests.support.callbacks import (
    NUMBER,
    path_for,
    receiver_settings,
    reports,
    running_receiver,
    twilio_signature,
    url_for,
)
from tests.support.certificates import make_authority
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.mail_webhooks import (
    LOGIN,
    MAILGUN_KEY,
    RECIPIENT,
    SIGN,
    mail_settings,
    mailgun_event,
    postmark_event,
    ses_event,
)
from tests.support.processes import completed
from tests.support.sns import SNS_HOST, TOKEN, local_sns

MESSAGE = UUID("01a20b60-dd2c-76fb-8a8d-5af8658b6493")


def test_gateways_are_served_and_no_secret_is_logged(database: Database) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": NUMBER, "Body": "Your code is 123456"}
    twilio, kannel = path_for(Gateway.TWILIO, MESSAGE), path_for(Gateway.KANNEL, MESSAGE)
    with running_receiver(database) as receiver:
        with httpx.Client(base_url=receiver.base_url) as client:
            signature = twilio_signature(url_for(Gateway.TWILIO, MESSAGE), form)
            assert client.post(twilio, data=form, headers=signature).status_code == 204
            assert client.get(f"{kannel}?type=2&id=7&answer=NACK%2F11%2F{NUMBER}").status_code == 200
            assert client.post(twilio[:-1], data=form).status_code == 404
            assert client.post(twilio, data=form).status_code == 403
            assert client.get(twilio).status_code == 405
            assert client.get(f"{kannel}?id={'7' * 5000}").status_code == 414
        assert len(reports(database)) == 2
        served = [line["route"] for line in receiver.log_lines() if line["event"] == "request served"]
        assert "/callbacks/twilio/<token>" in served
        log = receiver.log_text()
    for secret in (twilio.rpartition("/")[2], kannel.rpartition("/")[2], NUMBER.lstrip("+"), "123456", "SM1"):
        assert secret not in log


def test_events_of_mail_providers_are_served_and_no_secret_is_logged(database: Database, tmp_path: Path) -> None:
    with (
        local_sns(make_authority(tmp_path)) as sns,
        running_receiver(database, **mail_settings(), **sns.environment) as receiver,
    ):
        with httpx.Client(base_url=receiver.base_url, trust_env=False) as client:

            def post(provider: MailProvider, body: bytes | str, **headers: str) -> int:
                return client.post(f"/callbacks/{provider}", content=body, headers=headers).status_code

            signer = sns.signer
            subscription, notification = signer.confirmation(), signer.notification(ses_event())
            assert post(MailProvider.SES, json.dumps(subscription)) == 200
            assert post(MailProvider.SES, json.dumps(notification)) == 200
            assert post(MailProvider.SES, json.dumps(notification | {"MessageId": "other"})) == 403
            # The same bounce from another provider would be a repetition.
            others = {
                MailProvider.MAILGUN: mailgun_event(event="complained"),
                MailProvider.POSTMARK: postmark_event(RecordType="Delivery"),
            }
            for provider, event in others.items():
                body, headers = SIGN[provider](event, time.time())
                assert post(provider, body, **headers) == 200
            assert post(MailProvider.POSTMARK, body, Authorization="Basic c2lnbnBvc3Q6d3Jvbmc=") == 403
            chunks = (b" " * 65_536 for _ in range(32))
            assert client.post("/callbacks/sendgrid", content=chunks).status_code == 413
        assert sorted(reports(database, "source")) == [("mailgun",), ("postmark",), ("ses",)]
        assert set(sns.connected_to) == {f"{SNS_HOST}:443"}
        assert len(sns.confirmed()) == 1
        log = receiver.log_text()
    for secret in (LOGIN.partition(":")[2], MAILGUN_KEY, RECIPIENT, str(MESSAGE), TOKEN, notification["Signature"]):
        assert secret not in log


def test_the_admin_listener_reports_readiness_and_counts(database: Database) -> None:
    with running_receiver(database) as receiver:
        plain_http.post(f"{receiver.base_url}{path_for(Gateway.JSON, MESSAGE)}", json={"status": "delivered"})
        plain_http.post(f"{receiver.base_url}/callbacks/json/forged", json={"status": "delivered"})
        assert receiver.admin("/readyz").json() == {"status": "ready"}
        assert receiver.admin("/livez").is_success
        metrics = receiver.admin("/metrics").text
    assert 'signpost_callbacks_receipts_total{gateway="json",kind="delivered"} 1.0' in metrics
    assert 'signpost_callbacks_refused_total{gateway="json",reason="wrong_mac"} 1.0' in metrics
    assert 'signpost_callbacks_refused_total{gateway="ses",reason="wrong_topic"} 0.0' in metrics
    assert "signpost_callbacks_ready 1.0" in metrics


def test_sigterm_ends_the_receiver(database: Database) -> None:
    with running_receiver(database) as receiver:
        receiver.process.terminate()
        assert eventually(lambda: receiver.process.poll() is not None)
        assert receiver.process.returncode == 0


def test_wrong_settings_are_reported_together(database: Database) -> None:
    settings = receiver_settings(database, CALLBACK_URL="http://example.org", TWILIO_AUTH_TOKEN="short")
    checked = completed(("signpost-receiver", "check-callbacks"), settings | {"FEEDBACK_KEYS": ""})
    assert checked.returncode == 2
    assert checked.stderr.splitlines() == [
        "settings: FEEDBACK_KEYS is not set",
        "settings: CALLBACK_URL='http://example.org' is not an https URL",
        "settings: TWILIO_AUTH_TOKEN has a token with fewer than 16 characters, or not of ASCII",
    ]


def test_right_settings_reach_the_database(database: Database) -> None:
    checked = completed(("signpost-receiver", "check-callbacks", "--connect"), receiver_settings(database))
    assert checked.stdout.splitlines() == ["settings: all well", "DATABASE_URL: connected"]
