"""The relay sends a message's id where the events of each HTTPS provider quote it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from outbox_relay.channels.http.session import HttpProvider
from receiver.callbacks.mail import ses
from receiver.callbacks.mail.events import MailEvent
from receiver.callbacks.mail.routes import webhooks
from receiver.callbacks.settings import CallbackSettingsSchema
from shared.reports.mail_ids import MailProvider
from tests.support.callbacks import FEEDBACK_KEYS
from tests.support.email_apis import EMAIL_APIS, a_mail
from tests.support.mail_webhooks import (
    SIGN,
    mail_settings,
    mailgun_event,
    received,
    resend_event,
    sendgrid_event,
    ses_event,
)

NOW = 1_764_000_000.0
SETTINGS = {
    **mail_settings(),
    "DATABASE_URL": "postgresql+psycopg://receiver@localhost/signpost",
    "FEEDBACK_KEYS": FEEDBACK_KEYS,
    "CALLBACK_URL": "https://callbacks.example.org",
}


def quoted_by_mailgun(form: str) -> Any:
    _, _, rest = form.partition('name="v:')
    name, _, rest = rest.partition('"')
    return mailgun_event(**{"user-variables": {name: rest.split("\r\n\r\n")[1].split("\r\n")[0]}})


def quoted_by_ses(body: str) -> Any:
    tags = {tag["Name"]: [tag["Value"]] for tag in json.loads(body)["EmailTags"]}
    event = ses_event()
    return event | {"mail": event["mail"] | {"tags": tags}}


QUOTED: dict[MailProvider, Callable[[str], Any]] = {
    MailProvider.MAILGUN: quoted_by_mailgun,
    MailProvider.RESEND: lambda body: resend_event(
        tags={tag["name"]: tag["value"] for tag in json.loads(body)["tags"]}
    ),
    MailProvider.SENDGRID: lambda body: [
        sendgrid_event(signpost_message_id=None) | json.loads(body)["personalizations"][0]["custom_args"]
    ],
    MailProvider.SES: quoted_by_ses,
}


def event_of(provider: MailProvider, quoted: Any) -> MailEvent:
    if provider is MailProvider.SES:
        return ses.event_in(json.dumps(quoted))
    hook = webhooks(CallbackSettingsSchema().read(SETTINGS))[provider]
    [event] = hook.read(received(SIGN[provider](quoted, NOW), NOW))
    return event


@pytest.mark.parametrize("provider", QUOTED)
def test_events_name_the_message_that_was_sent(provider: MailProvider) -> None:
    sender, mail = EMAIL_APIS[provider].provider(1), a_mail()
    assert isinstance(sender, HttpProvider)
    body = sender.api.request(mail).body
    assert body
    assert event_of(provider, QUOTED[provider](body.decode("latin-1"))).message_id == mail.message.id
