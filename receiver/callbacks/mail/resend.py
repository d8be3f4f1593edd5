"""Resend's webhooks, which Svix sends and signs. Resend sends through Amazon SES and passes its types of bounces on.

Sources: https://resend.com/docs/webhooks/event-types, https://resend.com/docs/webhooks/emails/bounced and
https://docs.svix.com/receiving/verifying-payloads/how-manual.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from receiver.callbacks.mail.events import (
    ARRIVED,
    BOUNCED,
    COMPLAINED,
    NOT_SENT,
    SUPPRESSED,
    WAITS,
    MailEvent,
    Rules,
    kinds,
    message_id_of,
    parse_object,
    text_at,
    time_of,
    value_at,
)
from receiver.callbacks.mail.ses import BOUNCE_RULES
from receiver.callbacks.mail.signatures import Received, check_age, seconds_in
from receiver.callbacks.problems import WrongSignatureError
from shared.reports.mail_ids import MESSAGE_ID_NAME

VERSION = "v1"
"""Of the signatures: HMAC-SHA256. Others are ignored."""

RULES: Rules = {
    "email.delivered": ARRIVED,
    "email.delivery_delayed": WAITS,
    "email.complained": COMPLAINED,
    "email.failed": NOT_SENT,
    "email.suppressed": SUPPRESSED,
    **{f"email.bounced/{name}": rule for name, rule in BOUNCE_RULES.items()},
    "email.bounced": BOUNCED,
}


@dataclass(frozen=True)
class Resend:
    """The webhook, with its signing secrets."""

    secrets: Sequence[bytes] = field(repr=False)
    rules = RULES

    def read(self, request: Received) -> Iterator[MailEvent]:
        """Check the signature and return the event."""
        timestamp = request.header("svix-timestamp")
        signed = f"{request.header('svix-id')}.{timestamp}.".encode() + request.body
        if not self._is_signed(signed, request.header("svix-signature")):
            raise WrongSignatureError
        check_age(seconds_in(timestamp), request.at)
        event = parse_object(request.body)
        kind, mail = text_at(event, "type"), value_at(event, "data")
        bounce = value_at(mail, "bounce")
        replies = [text_at(bounce, "diagnosticCode", 0), text_at(bounce, "message"), text_at(mail, "failed", "reason")]
        yield MailEvent(
            names=kinds(kind, text_at(bounce, "type"), text_at(bounce, "subType")),
            message_id=message_id_of(_tag(mail)),
            provider_message_id=text_at(mail, "email_id"),
            recipient=text_at(mail, "to", 0),
            reply=next(filter(None, replies), ""),
            occurred_at=time_of(value_at(event, "created_at")),
        )

    def _is_signed(self, signed: bytes, offered: str) -> bool:
        """Return whether one of the signatures, separated by spaces, is that of one of the secrets."""
        macs = [b64encode(hmac.digest(secret, signed, "sha256")) for secret in self.secrets]
        signatures = [entry.partition(",") for entry in offered.split()]
        is_right = [
            hmac.compare_digest(mac, signature.encode())
            for version, _, signature in signatures
            if version == VERSION
            for mac in macs
        ]
        return any(is_right)


def _tag(mail: object) -> str:
    """Return our tag. Events have tags as an object, or as an array of objects with name and value."""
    tags = value_at(mail, "tags")
    if isinstance(tags, list):
        return next((text_at(tag, "value") for tag in tags if text_at(tag, "name") == MESSAGE_ID_NAME), "")
    return text_at(tags, MESSAGE_ID_NAME)
