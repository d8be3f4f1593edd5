"""Webhooks of mail providers: settings, signatures computed as the providers document them, and sample events."""

import hmac
import json
from base64 import b64encode
from functools import cache
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from receiver.callbacks.mail.signatures import Received
from shared.reports.mail_ids import MailProvider, brevo_header
from tests.support.sns import TOPIC

MESSAGE = UUID("01a20b60-dd2c-76fb-8a8d-5af8658b6493")
RECIPIENT = "Ada@example.org"
MAILGUN_KEY = "0123456789abcdef0123456789abcdef"
SECRET = b"a secret of twenty-four b"
LOGIN = "signpost:a password of many letters"

Signed = tuple[bytes, dict[str, str]]
"""A body with its headers, whose names are in lower case."""


@cache
def sendgrid_key(_name: str = "ours") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the public key as SendGrid shows it."""
    return b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def mail_settings() -> dict[str, str]:
    return {
        "SES_TOPICS": TOPIC,
        "SENDGRID_WEBHOOK_KEY": public_text(sendgrid_key()),
        "MAILGUN_WEBHOOK_KEY": MAILGUN_KEY,
        "POSTMARK_WEBHOOK_LOGIN": LOGIN,
        "RESEND_WEBHOOK_SECRET": f"whsec_{b64encode(SECRET).decode()}",
        "BREVO_WEBHOOK_LOGIN": LOGIN,
    }


def sendgrid(events: object, at: float, key: ec.EllipticCurvePrivateKey | None = None) -> Signed:
    body = json.dumps(events).encode()
    signature = (key or sendgrid_key()).sign(f"{at:.0f}".encode() + body, ec.ECDSA(SHA256()))
    return body, {
        "x-twilio-email-event-webhook-signature": b64encode(signature).decode(),
        "x-twilio-email-event-webhook-timestamp": f"{at:.0f}",
    }


def mailgun(event: object, at: float, key: str = MAILGUN_KEY, token: str = "e" * 50) -> Signed:
    mac = hmac.digest(key.encode(), f"{at:.0f}{token}".encode(), "sha256").hex()
    signature = {"timestamp": f"{at:.0f}", "token": token, "signature": mac}
    return json.dumps({"signature": signature, "event-data": event}).encode(), {}


def resend(event: object, at: float, secret: bytes = SECRET) -> Signed:
    body = json.dumps(event).encode()
    signature = hmac.digest(secret, f"msg_1.{at:.0f}.".encode() + body, "sha256")
    return body, {
        "svix-id": "msg_1",
        "svix-timestamp": f"{at:.0f}",
        "svix-signature": f"v1a,other v1,{b64encode(signature).decode()}",
    }


def with_login(event: object, _at: float, login: str = LOGIN) -> Signed:
    return json.dumps(event).encode(), {"authorization": f"Basic {b64encode(login.encode()).decode()}"}


SIGN = {
    MailProvider.SENDGRID: sendgrid,
    MailProvider.MAILGUN: mailgun,
    MailProvider.POSTMARK: with_login,
    MailProvider.RESEND: resend,
    MailProvider.BREVO: with_login,
}


def received(signed: Signed, at: float) -> Received:
    body, headers = signed
    return Received(body, headers, at)


# From the providers' documentation, with our ids.


def sendgrid_event(**changed: object) -> dict[str, Any]:
    return {
        "email": RECIPIENT.lower(),
        "timestamp": 1513299569,
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": "bounce",
        "bounce_classification": "Invalid Address",
        "type": "bounce",
        "status": "5.1.1",
        "reason": "550 5.1.1 <ada@example.org>: Recipient address rejected: user ada unknown",
        "sg_event_id": "6g4ZI7SA-xmRDv57GoPIPw==",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        "signpost_message_id": str(MESSAGE),
    } | changed


def mailgun_event(**changed: object) -> dict[str, Any]:
    return {
        "id": "G9Bn5sl1TC6nu79C8C0bwg",
        "event": "failed",
        "severity": "permanent",
        "reason": "bounce",
        "timestamp": 1521233195.375624,
        "recipient": RECIPIENT,
        "user-variables": {"signpost_message_id": str(MESSAGE)},
        "message": {"headers": {"message-id": "20130503192659.13651.20287@mg.example.org"}},
        "delivery-status": {
            "code": 550,
            "enhanced-code": "5.1.1",
            "message": "5.1.1 The email account that you tried to reach does not exist.",
            "description": "",
        },
    } | changed


def postmark_event(**changed: object) -> dict[str, Any]:
    return {
        "RecordType": "Bounce",
        "Type": "HardBounce",
        "TypeCode": 1,
        "ID": 4323372036854775807,
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Metadata": {"signpost_message_id": str(MESSAGE)},
        "Details": "smtp;550 5.1.1 user unknown",
        "Email": RECIPIENT,
        "BouncedAt": "2019-11-05T16:33:54.9070259Z",
    } | changed


def resend_event(kind: str = "email.bounced", **changed: object) -> dict[str, Any]:
    bounce = {"message": "550 5.1.1 user unknown", "subType": "General", "type": "Permanent"}
    mail = {
        "created_at": "2024-11-22T23:41:11.894719+00:00",
        "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
        "to": [RECIPIENT],
        "tags": {"signpost_message_id": str(MESSAGE)},
        "bounce": bounce,
    }
    return {"type": kind, "created_at": "2024-11-22T23:41:12.126Z", "data": mail | changed}


def brevo_event(**changed: object) -> dict[str, Any]:
    return {
        "event": "hard_bounce",
        "email": RECIPIENT,
        "id": 26224,
        "date": "2020-10-09 00:00:00",
        "ts": 1604933619,
        "message-id": "<201798300811.5787683@relay.domain.com>",
        "ts_event": 1604933654,
        "X-Mailin-custom": brevo_header(MESSAGE),
        "reason": "550 5.1.1 user unknown",
    } | changed


def ses_event(kind: str = "Bounce", **details: object) -> dict[str, Any]:
    bounce = {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        # The Final-Recipient, which is another person behind a forwarding.
        "bouncedRecipients": [
            {"emailAddress": "other@example.net", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
        ],
        "timestamp": "2017-08-05T00:41:02.669Z",
        "feedbackId": "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8aexample-000000",
    }
    tags = {"ses:configuration-set": ["ConfigSet"], "signpost_message_id": [str(MESSAGE)]}
    mail = {"messageId": "EXAMPLE7c191be45", "destination": [RECIPIENT], "tags": tags}
    name = kind[:1].lower() + kind[1:]
    return {"eventType": kind, name: (bounce if kind == "Bounce" else {}) | details, "mail": mail}


EVENTS = {
    MailProvider.SENDGRID: lambda: [sendgrid_event()],
    MailProvider.MAILGUN: mailgun_event,
    MailProvider.POSTMARK: postmark_event,
    MailProvider.RESEND: resend_event,
    MailProvider.BREVO: brevo_event,
}
"""A hard bounce of each provider."""
