"""SendGrid's signed event webhook: an array of events.

Sources: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event and
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features.
"""

from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from receiver.callbacks.mail.events import (
    ARRIVED,
    BAD_ADDRESS,
    BAD_CONTENT,
    BLOCKED,
    BOUNCED,
    COMPLAINED,
    GAVE_UP,
    MAILBOX_FULL,
    NOT_SENT,
    SUPPRESSED,
    WAITS,
    MailEvent,
    Rules,
    message_id_of,
    objects,
    parse,
    text_at,
    time_of,
    value_at,
)
from receiver.callbacks.mail.signatures import Received, check_age, seconds_in
from receiver.callbacks.problems import WrongSignatureError
from shared.reports.mail_ids import MESSAGE_ID_NAME

SIGNATURE, TIMESTAMP = "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"

RULES: Rules = {
    "delivered": ARRIVED,
    "deferred": WAITS,
    "spamreport": COMPLAINED,
    "bounce/Invalid Address": BAD_ADDRESS,
    "bounce/Mailbox Unavailable": MAILBOX_FULL,
    "bounce/Technical": GAVE_UP,
    "bounce/Content": BAD_CONTENT,
    "bounce/Reputation": BLOCKED,
    "bounce/Frequency or Volume Too High": BLOCKED,
    "bounce/blocked": BOUNCED,
    "bounce": BOUNCED,
    "dropped/Bounced Address": SUPPRESSED,
    "dropped/Invalid": NOT_SENT,
    "dropped/Recipient List over Package Quota": BLOCKED,
    "dropped/Spam Content": BAD_CONTENT,
    "dropped/Spam Reporting Address": NOT_SENT,
    "dropped/Unsubscribed Address": NOT_SENT,
    "dropped": NOT_SENT,
}


@dataclass(frozen=True)
class SendGrid:
    """The webhook, with the public keys of an account."""

    keys: Sequence[EllipticCurvePublicKey]
    rules = RULES

    def read(self, request: Received) -> Iterator[MailEvent]:
        """Check the signature and return the events."""
        timestamp = request.header(TIMESTAMP)
        if not self._is_signed(timestamp.encode() + request.body, request.header(SIGNATURE)):
            raise WrongSignatureError
        check_age(seconds_in(timestamp), request.at)
        return map(_event, objects(parse(request.body)))

    def _is_signed(self, signed: bytes, offered: str) -> bool:
        for key in self.keys:
            try:
                key.verify(b64decode(offered), signed, ECDSA(SHA256()))
            except (InvalidSignature, ValueError):
                continue
            return True
        return False


def _event(event: dict[str, object]) -> MailEvent:
    kind, reason = text_at(event, "event"), text_at(event, "reason")
    details = [text_at(event, "bounce_classification"), text_at(event, "type")]
    if kind == "dropped":
        details = [reason.partition(" (")[0]]  # "Spam Content (if Spam Checker app is enabled)"
    return MailEvent(
        names=(*(f"{kind}/{detail}" for detail in details if detail), kind),
        message_id=message_id_of(text_at(event, MESSAGE_ID_NAME)),
        provider_message_id=text_at(event, "sg_message_id"),
        recipient=text_at(event, "email"),
        status=text_at(event, "status"),
        reply=reason or text_at(event, "response"),
        occurred_at=time_of(value_at(event, "timestamp")),
    )
