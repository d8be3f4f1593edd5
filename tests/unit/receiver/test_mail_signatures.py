"""The checks of each provider's webhook but SES, with vectors from the providers' own libraries."""

import json
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from receiver.callbacks.mail.mailgun import LONGEST_REPEATED_SECONDS, Mailgun
from receiver.callbacks.mail.resend import Resend
from receiver.callbacks.mail.routes import webhooks
from receiver.callbacks.mail.sendgrid import SendGrid
from receiver.callbacks.mail.signatures import LONGEST_AGE_SECONDS, Received
from receiver.callbacks.problems import StaleSignatureError, WrongSignatureError
from receiver.callbacks.settings import CallbackSettingsSchema
from shared.reports.mail_ids import MailProvider
from shared.settings import SettingsError
from shared.web.problems import MalformedJsonError
from tests.support.callbacks import FEEDBACK_KEYS
from tests.support.mail_webhooks import (
    EVENTS,
    LOGIN,
    MAILGUN_KEY,
    SECRET,
    SIGN,
    mail_settings,
    mailgun,
    mailgun_event,
    public_text,
    received,
    sendgrid_key,
)

NOW = 1_764_000_000.0
REQUIRED = {"DATABASE_URL": "postgresql+psycopg://receiver@localhost/signpost", "FEEDBACK_KEYS": FEEDBACK_KEYS}
OTHERS: dict[MailProvider, Any] = {
    MailProvider.SENDGRID: sendgrid_key("theirs"),
    MailProvider.MAILGUN: "f" * 32,
    MailProvider.POSTMARK: "signpost:another password of ours",
    MailProvider.RESEND: b"another secret of Svix, z",
    MailProvider.BREVO: "stranger:a password of many letters",
}
"""The keys of another account."""
SIGNED = [MailProvider.SENDGRID, MailProvider.MAILGUN, MailProvider.RESEND]
HOOKS = {**mail_settings(), **REQUIRED, "CALLBACK_URL": "https://callbacks.example.org"}


def webhook(provider: MailProvider, **settings: str) -> Any:
    return webhooks(CallbackSettingsSchema().read(HOOKS | settings))[provider]


# test/unit/test_eventwebhook.py of the package sendgrid 6.12.5.
SENDGRIDS_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6"
    "wEA3F+g=="
)
SENDGRIDS_REQUEST = Received(
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
    b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
    b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
    b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n',
    {
        "x-twilio-email-event-webhook-signature": "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZU"
        "AiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
        "x-twilio-email-event-webhook-timestamp": "1600112502",
    },
    1600112502,
)


def test_the_request_in_sendgrids_library_is_accepted() -> None:
    ours: Any = load_der_public_key(b64decode(SENDGRIDS_KEY))
    hook = SendGrid([sendgrid_key().public_key(), ours])
    [event] = hook.read(SENDGRIDS_REQUEST)
    assert (event.names, event.message_id) == (("dropped/Bounced Address", "dropped"), None)
    with pytest.raises(WrongSignatureError):
        hook.read(replace(SENDGRIDS_REQUEST, body=SENDGRIDS_REQUEST.body.strip()))


# The Svix documentation, "Verifying webhooks manually", and the tests of the package svix.
SVIX_SECRET = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
SVIX_REQUEST = Received(
    b'{"test": 2432232314}',
    {
        "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "svix-timestamp": "1614265330",
        "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
    1614265330,
)


def test_the_request_in_the_documentation_of_svix_is_accepted() -> None:
    assert list(Resend([SECRET, SVIX_SECRET]).read(SVIX_REQUEST))
    for changed in ("v1,", "", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "é"):
        headers = {**SVIX_REQUEST.headers, "svix-signature": changed}
        with pytest.raises(WrongSignatureError):
            list(Resend([SVIX_SECRET]).read(replace(SVIX_REQUEST, headers=headers)))


@pytest.mark.parametrize("provider", SIGN)
def test_a_request_of_the_own_account_is_accepted_and_one_of_another_account_refused(provider: MailProvider) -> None:
    event, sign = EVENTS[provider](), SIGN[provider]
    assert len(list(webhook(provider).read(received(sign(event, NOW), NOW)))) == 1
    with pytest.raises(WrongSignatureError):
        list(webhook(provider).read(received(sign(event, NOW, OTHERS[provider]), NOW)))


@pytest.mark.parametrize("provider", SIGN)
def test_both_keys_are_accepted_during_a_rotation(provider: MailProvider) -> None:
    other = OTHERS[provider]
    name = next(name for name in mail_settings() if name.startswith(provider.upper()))
    spelled = {MailProvider.SENDGRID: public_text, MailProvider.RESEND: lambda key: f"whsec_{b64encode(key).decode()}"}
    both = f"{spelled.get(provider, str)(other)}, {HOOKS[name]}"
    hook, event = webhook(provider, **{name: both}), EVENTS[provider]()
    assert list(hook.read(received(SIGN[provider](event, NOW), NOW)))
    assert list(hook.read(received(SIGN[provider](event, NOW - 1, other), NOW)))


@pytest.mark.parametrize("provider", SIGN)
def test_a_request_without_signature_or_without_a_setting_is_refused(provider: MailProvider) -> None:
    event = EVENTS[provider]()
    name = next(name for name in mail_settings() if name.startswith(provider.upper()))
    with pytest.raises(WrongSignatureError):
        list(webhook(provider).read(Received(json.dumps(event).encode() if event else b"", {}, NOW)))
    with pytest.raises(WrongSignatureError):
        list(webhook(provider, **{name: ""}).read(received(SIGN[provider](event, NOW), NOW)))


@pytest.mark.parametrize("provider", [MailProvider.SENDGRID, MailProvider.RESEND])
def test_a_changed_body_or_time_is_refused(provider: MailProvider) -> None:
    request = received(SIGN[provider](EVENTS[provider](), NOW), NOW)
    headers = {name: f"{NOW + 1:.0f}" if "timestamp" in name else value for name, value in request.headers.items()}
    for changed in (replace(request, body=request.body.replace(b"5.1.1", b"5.2.2")), replace(request, headers=headers)):
        with pytest.raises(WrongSignatureError):
            list(webhook(provider).read(changed))


@pytest.mark.parametrize("provider", SIGNED)
def test_a_signature_from_another_time_is_refused(provider: MailProvider) -> None:
    longest = LONGEST_REPEATED_SECONDS if provider is MailProvider.MAILGUN else LONGEST_AGE_SECONDS
    for at in (NOW - longest, NOW + LONGEST_AGE_SECONDS):
        assert list(webhook(provider).read(received(SIGN[provider](EVENTS[provider](), at), NOW)))
    for at in (NOW - longest - 1, NOW + LONGEST_AGE_SECONDS + 1):
        with pytest.raises(StaleSignatureError):
            list(webhook(provider).read(received(SIGN[provider](EVENTS[provider](), at), NOW)))


def test_a_signature_of_mailgun_is_valid_for_one_body() -> None:
    # The signature does not cover the body, and Mailgun repeats a request with the same signature.
    hook, first = Mailgun([MAILGUN_KEY]), received(mailgun(mailgun_event(), NOW), NOW)
    assert list(hook.read(first))
    assert list(hook.read(replace(first, at=NOW + 4 * 3600)))
    forged = received(mailgun(mailgun_event(event="complained"), NOW), NOW)
    with pytest.raises(WrongSignatureError):
        list(hook.read(forged))


@pytest.mark.parametrize("moved", [1, 3])
def test_the_beginning_of_mailguns_token_cannot_become_part_of_the_time(moved: int) -> None:
    # Otherwise "1764000000" and "e0abc" would also be valid as "1764000000e0" and "abc", which is another token.
    document = json.loads(mailgun(mailgun_event(), NOW, token="e0" * 25)[0])
    signature = document["signature"]
    signature["timestamp"] += signature["token"][:moved]
    signature["token"] = signature["token"][moved:]
    with pytest.raises(StaleSignatureError):
        list(Mailgun([MAILGUN_KEY]).read(Received(json.dumps(document).encode(), {}, NOW)))


@pytest.mark.parametrize(
    "offered",
    [
        "",
        "Basic",
        "Bearer " + b64encode(LOGIN.encode()).decode(),
        "Basic é",
        "Basic " + b64encode(b"signpost:").decode(),
    ],
)
def test_other_credentials_are_refused(offered: str) -> None:
    request = Received(json.dumps(EVENTS[MailProvider.POSTMARK]()).encode(), {"authorization": offered}, NOW)
    with pytest.raises(WrongSignatureError):
        list(webhook(MailProvider.POSTMARK).read(request))


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"7", b"\xff", b"9" * 5000])
def test_a_body_that_is_no_json_is_malformed(body: bytes) -> None:
    headers = {"authorization": f"Basic {b64encode(LOGIN.encode()).decode()}"}
    for provider in (MailProvider.POSTMARK, MailProvider.BREVO):
        with pytest.raises(MalformedJsonError):
            list(webhook(provider).read(Received(body, headers, NOW)))


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("SES_TOPICS", "arn:aws:sns:evil.example:123456789012:ses", "has an entry that is not the ARN"),
        ("SES_TOPICS", "arn:aws:sqs:eu-west-1:123456789012:ses", "has an entry that is not the ARN"),
        ("SENDGRID_WEBHOOK_KEY", "c2VjcmV0", "has a key that is not base64 of a public key"),
        ("MAILGUN_WEBHOOK_KEY", "short", "has a token with fewer than 16 characters"),
        ("POSTMARK_WEBHOOK_LOGIN", "user:short", "has a pair that is not user:password"),
        ("BREVO_WEBHOOK_LOGIN", "without-a-colon-of-many", "has a pair that is not user:password"),
        ("RESEND_WEBHOOK_SECRET", "c2VjcmV0LXdpdGhvdXQtcHJlZml4", "has a secret that is not whsec_ and base64"),
    ],
)
def test_wrong_settings_are_refused_and_secrets_not_quoted(name: str, text: str, error: str) -> None:
    with pytest.raises(SettingsError) as caught:
        CallbackSettingsSchema().read(HOOKS | {name: text})
    [line] = caught.value.errors
    assert error in line
    assert (text in line) is (name in ("SES_TOPICS", "SENDGRID_WEBHOOK_KEY"))


def test_the_representation_of_the_settings_has_no_secret() -> None:
    shown = repr(CallbackSettingsSchema().read(HOOKS))
    for secret in (MAILGUN_KEY, LOGIN, repr(SECRET)):
        assert secret not in shown
