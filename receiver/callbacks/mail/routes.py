"""The route of the webhooks: check a request, read its events, and commit their reports before the response."""

import time
from collections.abc import Iterator, Mapping
from typing import Protocol

from flask import Flask, Response, request
from sqlalchemy import Engine
from werkzeug.exceptions import RequestEntityTooLarge

from receiver.callbacks.mail.brevo import Brevo
from receiver.callbacks.mail.events import MailEvent, Rules
from receiver.callbacks.mail.mailgun import Mailgun
from receiver.callbacks.mail.postmark import Postmark
from receiver.callbacks.mail.resend import Resend
from receiver.callbacks.mail.sendgrid import SendGrid
from receiver.callbacks.mail.ses import Ses
from receiver.callbacks.mail.signatures import Received
from receiver.callbacks.metrics import RECEIPTS, REFUSED, REPEATED
from receiver.callbacks.problems import WrongSignatureError
from receiver.callbacks.settings import CallbackSettings
from shared.reports.mail_ids import MailProvider
from shared.reports.report import STORE_REPORT, DeliveryReport, ReportSource
from shared.reports.return_paths import CALLBACKS_PATH

LONGEST_BODY_BYTES = 1024 * 1024
"""A batch of SendGrid has less than 768 KiB, a message of SNS at most 256 KiB."""


class Webhook(Protocol):
    """A provider's webhook."""

    rules: Rules

    def read(self, received: Received, /) -> Iterator[MailEvent]:
        """Check the request and return its events. Raises WrongSignatureError or MalformedJsonError."""


def webhooks(settings: CallbackSettings) -> Mapping[MailProvider, Webhook]:
    """Return the webhooks. Without its setting, a webhook refuses all requests."""
    return {
        MailProvider.SES: Ses(settings.ses_topics or {}),
        MailProvider.SENDGRID: SendGrid(settings.sendgrid_webhook_key or ()),
        MailProvider.MAILGUN: Mailgun(settings.mailgun_webhook_key or ()),
        MailProvider.POSTMARK: Postmark(settings.postmark_webhook_login or ()),
        MailProvider.RESEND: Resend(settings.resend_webhook_secret or ()),
        MailProvider.BREVO: Brevo(settings.brevo_webhook_login or ()),
    }


def add_mail_routes(app: Flask, settings: CallbackSettings, engine: Engine) -> None:
    """Add the route of each provider."""
    keys = settings.feedback_keys
    key = keys[keys.newest_id]
    for provider, webhook in webhooks(settings).items():

        def take(provider: MailProvider = provider, webhook: Webhook = webhook) -> Response:
            _store(engine, provider, _reports(provider, webhook, key))
            # Mailgun takes only 200 for success.
            return Response(status=200)

        app.add_url_rule(f"{CALLBACKS_PATH}/{provider}", endpoint=f"mail_{provider}", view_func=take, methods=["POST"])


def _reports(provider: MailProvider, webhook: Webhook, key: bytes) -> list[DeliveryReport]:
    """Return the reports of a request, and count its other events."""
    request.max_content_length = LONGEST_BODY_BYTES + 1  # Werkzeug truncates a chunked body at its limit
    body = request.get_data()
    if len(body) > LONGEST_BODY_BYTES:
        raise RequestEntityTooLarge
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        events = list(webhook.read(Received(body, headers, time.time())))
    except WrongSignatureError as error:
        REFUSED.labels(provider, error.code).inc()
        raise
    reports = []
    for event in events:
        rule = event.rule(webhook.rules)
        if rule is None:
            RECEIPTS.labels(provider, "no_news").inc()
        elif event.message_id is None:
            RECEIPTS.labels(provider, "other_message").inc()
        else:
            reports.append(event.report(rule, ReportSource(provider), key))
    return reports


def _store(engine: Engine, provider: MailProvider, reports: list[DeliveryReport]) -> None:
    """Commit all reports, or no report. Raises a database error, which becomes a 503."""
    if not reports:
        return
    # In one order, so that two batches with the same events cannot deadlock.
    rows = [dict(each.parameters()) for each in sorted(reports, key=lambda report: report.deduplication_key)]
    with engine.begin() as connection:
        new = connection.exec_driver_sql(STORE_REPORT, rows).rowcount
    for report in reports:
        RECEIPTS.labels(provider, report.kind).inc()
    if new < len(reports):
        REPEATED.labels(provider).inc(len(reports) - new)
