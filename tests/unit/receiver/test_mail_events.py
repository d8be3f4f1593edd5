"""The events of each provider, and their meanings."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from receiver.callbacks.mail import ses
from receiver.callbacks.mail.events import MailEvent, time_of
from receiver.callbacks.mail.routes import webhooks
from receiver.callbacks.settings import CallbackSettingsSchema
from shared.reports.mail_ids import MailProvider
from shared.reports.report import DeliveryReport, ReportKind, ReportSource
from shared.reports.return_paths import recipient_tag
from tests.support.callbacks import FEEDBACK_KEY, FEEDBACK_KEYS
from tests.support.mail_event_tables import RULES
from tests.support.mail_webhooks import (
    MESSAGE,
    RECIPIENT,
    SIGN,
    brevo_event,
    mail_settings,
    mailgun_event,
    postmark_event,
    received,
    resend_event,
    sendgrid_event,
    ses_event,
)

NOW = 1_764_000_000.0
HARD_BOUNCES = {
    MailProvider.SES: ses_event(),
    MailProvider.SENDGRID: [sendgrid_event()],
    MailProvider.MAILGUN: mailgun_event(),
    MailProvider.POSTMARK: postmark_event(),
    MailProvider.RESEND: resend_event(),
    MailProvider.BREVO: brevo_event(),
}
PERMANENT = True


def event_of(provider: MailProvider, document: Any) -> MailEvent:
    if provider is MailProvider.SES:
        return ses.event_in(json.dumps(document))
    settings = {
        **mail_settings(),
        "DATABASE_URL": "postgresql+psycopg://receiver@localhost/signpost",
        "FEEDBACK_KEYS": FEEDBACK_KEYS,
        "CALLBACK_URL": "https://callbacks.example.org",
    }
    hook = webhooks(CallbackSettingsSchema().read(settings))[provider]
    [event] = hook.read(received(SIGN[provider](document, NOW), NOW))
    return event


def report_of(provider: MailProvider, document: Any) -> DeliveryReport | None:
    event = event_of(provider, document)
    rule = event.rule(RULES[provider])
    return event.report(rule, ReportSource(provider), FEEDBACK_KEY) if rule else None


def verdict(provider: MailProvider, document: Any) -> tuple[str, str | None, bool] | None:
    report = report_of(provider, document)
    return report and (report.kind, report.cause, report.is_permanent)


@pytest.mark.parametrize("provider", MailProvider)
def test_a_hard_bounce_names_its_message_its_recipient_and_the_reason(provider: MailProvider) -> None:
    report = report_of(provider, HARD_BOUNCES[provider])
    assert report
    assert (report.kind, report.cause, report.is_permanent) == ("bounced", "recipient", PERMANENT)
    assert (report.message_id, report.source, report.provider) == (MESSAGE, provider, None)
    # The tag is that of the address in lower case: SendGrid and Brevo change it.
    assert report.recipient_tag == recipient_tag(RECIPIENT.lower(), FEEDBACK_KEY)
    assert report.status_code == "5.1.1"
    assert report.provider_message_id
    assert report.diagnostic
    assert "ada" not in report.diagnostic.lower()
    assert report.occurred_at
    assert report.occurred_at.year in range(2013, 2025)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (sendgrid_event(event="delivered", reason=None, status=None), ("delivered", None, False)),
        (sendgrid_event(event="deferred", response="400 try again later"), ("delayed", None, False)),
        (sendgrid_event(event="spamreport"), ("complained", None, False)),
        (sendgrid_event(event="processed"), None),
        (sendgrid_event(event="open"), None),
        (sendgrid_event(event="group_unsubscribe"), None),
        (sendgrid_event(bounce_classification="Reputation"), ("bounced", "policy", True)),
        (sendgrid_event(bounce_classification="Content"), ("bounced", "content", True)),
        (
            sendgrid_event(bounce_classification="Mailbox Unavailable", reason="452 4.2.2 full", status="4.2.2"),
            ("bounced", "mailbox_full", False),
        ),
        (
            sendgrid_event(bounce_classification="Unclassified", type="blocked", reason="554 denied", status=""),
            ("bounced", "other", True),
        ),
        (
            sendgrid_event(bounce_classification="Invalid Address", reason="550 5.7.1 blocked", status="5.7.1"),
            ("bounced", "policy", True),
        ),
        (sendgrid_event(event="dropped", reason="Bounced Address"), ("bounced", "recipient", True)),
        (sendgrid_event(event="dropped", reason="Spam Reporting Address"), ("bounced", "other", True)),
        (
            sendgrid_event(event="dropped", reason="Spam Content (if Spam Checker app is enabled)"),
            ("bounced", "content", True),
        ),
    ],
)
def test_events_of_sendgrid(document: Any, expected: object) -> None:
    assert verdict(MailProvider.SENDGRID, [document]) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (mailgun_event(event="delivered", severity=None, reason=None), ("delivered", None, False)),
        (mailgun_event(severity="temporary", reason="generic"), ("delayed", None, False)),
        (mailgun_event(event="complained"), ("complained", None, False)),
        (mailgun_event(reason="suppress-bounce"), ("bounced", "recipient", True)),
        (mailgun_event(reason="suppress-complaint"), ("bounced", "other", True)),
        (
            mailgun_event(**{"delivery-status": {"enhanced-code": "", "message": "550 blocked by Spamhaus"}}),
            ("bounced", "policy", True),
        ),
        (mailgun_event(**{"delivery-status": {"message": "no reason"}}), ("bounced", "other", True)),
        (mailgun_event(event="accepted", severity=None, reason=None), None),
        (mailgun_event(event="opened", severity=None, reason=None), None),
    ],
)
def test_events_of_mailgun(document: Any, expected: object) -> None:
    assert verdict(MailProvider.MAILGUN, document) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (postmark_event(RecordType="Delivery", Type=None), ("delivered", None, False)),
        (postmark_event(RecordType="SpamComplaint", Type="SpamComplaint"), ("complained", None, False)),
        (postmark_event(Type="Transient", Details="smtp;451 4.7.1 greylisted"), ("delayed", None, False)),
        (postmark_event(Type="SoftBounce", Details="smtp;552 5.2.2 mailbox full"), ("bounced", "mailbox_full", True)),
        (postmark_event(Type="SoftBounce", Details=""), ("bounced", "other", False)),
        (postmark_event(Type="Blocked", Details=""), ("bounced", "policy", True)),
        (postmark_event(Type="SpamNotification", Details=""), ("bounced", "content", True)),
        (postmark_event(Type="AutoResponder"), None),
        (postmark_event(RecordType="Open", Type=None), None),
        (postmark_event(RecordType="SubscriptionChange", Type=None), None),
    ],
)
def test_events_of_postmark(document: Any, expected: object) -> None:
    assert verdict(MailProvider.POSTMARK, document) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (resend_event("email.delivered", bounce=None), ("delivered", None, False)),
        (resend_event("email.delivery_delayed", bounce=None), ("delayed", None, False)),
        (resend_event("email.complained", bounce=None), ("complained", None, False)),
        (resend_event("email.sent", bounce=None), None),
        (resend_event(bounce={"type": "Permanent", "subType": "Suppressed"}), ("bounced", "recipient", True)),
        (resend_event(bounce={"type": "Transient", "subType": "MailboxFull"}), ("bounced", "mailbox_full", False)),
        (resend_event(bounce={"type": "Transient", "subType": "New"}), ("bounced", "other", False)),
        (
            resend_event("email.failed", bounce=None, failed={"reason": "reached_daily_quota"}),
            ("bounced", "other", True),
        ),
        (resend_event("email.suppressed", bounce=None), ("bounced", "recipient", True)),
    ],
)
def test_events_of_resend(document: Any, expected: object) -> None:
    assert verdict(MailProvider.RESEND, document) == expected


def test_tags_of_resend_may_be_an_array() -> None:
    tags = [{"name": "category", "value": "x"}, {"name": "signpost_message_id", "value": str(MESSAGE)}]
    assert event_of(MailProvider.RESEND, resend_event(tags=tags)).message_id == MESSAGE


def test_a_header_of_another_application_names_no_message_of_ours() -> None:
    for header in (f"order:{MESSAGE}", str(MESSAGE), "signpost_message_id:7", None):
        assert event_of(MailProvider.BREVO, brevo_event(**{"X-Mailin-custom": header})).message_id is None


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (brevo_event(event="delivered"), ("delivered", None, False)),
        (brevo_event(event="deferred"), ("delayed", None, False)),
        (brevo_event(event="spam"), ("complained", None, False)),
        (brevo_event(event="soft_bounce", reason=""), ("bounced", "other", False)),
        (brevo_event(event="invalid_email", reason=""), ("bounced", "recipient", True)),
        (brevo_event(event="blocked", reason="blocked : due to blacklist user"), ("bounced", "other", True)),
        (brevo_event(event="request"), None),
        (brevo_event(event="unique_opened"), None),
    ],
)
def test_events_of_brevo(document: Any, expected: object) -> None:
    assert verdict(MailProvider.BREVO, document) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (ses_event("Delivery", smtpResponse="250 2.6.0 Message received"), ("delivered", None, False)),
        (ses_event("DeliveryDelay", delayType="TransientCommunicationFailure"), ("delayed", None, False)),
        (ses_event("Complaint", complaintFeedbackType="abuse"), ("complained", None, False)),
        (ses_event("Complaint"), ("complained", None, False)),
        (ses_event("Complaint", complaintFeedbackType="not-spam"), None),
        (ses_event("Complaint", complaintSubType="OnAccountSuppressionList"), ("bounced", "other", True)),
        (ses_event("Reject", reason="Bad content"), ("bounced", "content", True)),
        (ses_event("Send"), None),
        (ses_event("Open"), None),
        (ses_event(bounceSubType="OnAccountSuppressionList", bouncedRecipients=[]), ("bounced", "recipient", True)),
        (ses_event(bounceType="Transient", bouncedRecipients=[]), ("bounced", "other", False)),
        (
            ses_event(bounceType="Transient", bounceSubType="MailboxFull", bouncedRecipients=[{"status": "5.2.2"}]),
            ("bounced", "mailbox_full", True),
        ),
        (ses_event(bounceType="Transient", bounceSubType="ContentRejected"), ("bounced", "content", True)),
        (ses_event(bounceType="Undetermined", bouncedRecipients=None), ("bounced", "other", False)),
    ],
)
def test_events_of_ses(document: Any, expected: object) -> None:
    assert verdict(MailProvider.SES, document) == expected


@pytest.mark.parametrize("rules", RULES.values(), ids=list(RULES))
def test_only_failures_have_a_cause(rules: dict[str, Any]) -> None:
    for rule in rules.values():
        assert (rule.verdict.cause is not None) is (rule.verdict.kind is ReportKind.BOUNCED)


@pytest.mark.parametrize("provider", MailProvider)
@pytest.mark.parametrize("strange", [None, 7, "text", [], {}, [None], {"a": []}, True, "\ud800", 1e308])
def test_no_strange_value_raises(provider: MailProvider, strange: object) -> None:
    hard = HARD_BOUNCES[provider]
    event = hard[0] if isinstance(hard, list) else hard
    for name in event:
        changed = event | {name: strange}
        found = event_of(provider, [changed] if isinstance(hard, list) else changed)
        rule = found.rule(RULES[provider])
        if rule:
            report = found.report(rule, ReportSource(provider), FEEDBACK_KEY)
            json.dumps(report.parameters(), default=str, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1513299569, datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC)),
        ("2019-11-05T16:33:54.9070259Z", datetime(2019, 11, 5, 16, 33, 54, 907025, tzinfo=UTC)),
        ("2014-01-15T16:09:19.6421112-05:00", datetime(2014, 1, 15, 21, 9, 19, 642111, tzinfo=UTC)),
        ("2019-11-05T16:33:54", None),
        ("yesterday", None),
        (None, None),
        (1e300, None),
        (0, None),
        (float("nan"), None),
        ([], None),
    ],
)
def test_times_of_providers(value: object, expected: datetime | None) -> None:
    assert time_of(value) == expected
