"""Mailgun's webhooks: an event with the signature of a token.

Sources: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks,
…/webhooks/webhook-retries, …/webhooks/webhook-payloads, and …/events/event-types.
"""

import hmac
from collections.abc import Iterator, Sequence
from hashlib import sha256
from threading import Lock

from receiver.callbacks.mail.events import (
    ARRIVED,
    BLOCKED,
    BOUNCED,
    COMPLAINED,
    GAVE_UP,
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
from receiver.callbacks.mail.signatures import LONGEST_AGE_SECONDS, Received, check_age, seconds_in
from receiver.callbacks.problems import WrongSignatureError
from shared.reports.mail_ids import MESSAGE_ID_NAME

LONGEST_REPEATED_SECONDS = 8 * 3600 + LONGEST_AGE_SECONDS
"""Mailgun repeats a webhook for up to 8 hours, with the signature of the first attempt."""
MOST_TOKENS = 100_000
"""Those of 8 hours with three events a second, in about 25 MB."""

RULES: Rules = {
    "delivered": ARRIVED,
    "complained": COMPLAINED,
    "rejected": NOT_SENT,
    "failed/temporary": WAITS,
    "failed/permanent/bounce": BOUNCED,
    "failed/permanent/delayed-bounce": BOUNCED,
    "failed/permanent/espblock": BLOCKED,
    "failed/permanent/generic": BOUNCED,
    "failed/permanent/old": GAVE_UP,
    "failed/permanent/suppress-bounce": SUPPRESSED,
    "failed/permanent/suppress-complaint": NOT_SENT,
    "failed/permanent/suppress-unsubscribe": NOT_SENT,
    "failed/permanent": BOUNCED,
}


class Mailgun:
    """The webhook, with the signing keys of an account.

    The signature covers only time and token. So a token is valid for one body: with the signature of a request that
    leaked, no other event can be invented.
    """

    rules = RULES

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self._lock = Lock()
        self._bodies: dict[bytes, bytes] = {}

    def read(self, request: Received) -> Iterator[MailEvent]:
        """Check the signature and return the event."""
        document = parse_object(request.body)
        timestamp, token = (text_at(document, "signature", name) for name in ("timestamp", "token"))
        signed, offered = f"{timestamp}{token}".encode(errors="replace"), text_at(document, "signature", "signature")
        macs = [hmac.new(key.encode(), signed, sha256).hexdigest() for key in self._keys]
        is_right = [hmac.compare_digest(mac.encode(), offered.encode(errors="replace")) for mac in macs]
        if not token or not any(is_right):
            raise WrongSignatureError
        check_age(seconds_in(timestamp), request.at, LONGEST_REPEATED_SECONDS)
        self._bind(signed, request.body)
        return iter([_event(value_at(document, "event-data"))])

    def _bind(self, signed: bytes, body: bytes) -> None:
        """Remember the body of a token. Raises WrongSignatureError if the token came with another one before."""
        token, digest = sha256(signed).digest(), sha256(body).digest()
        with self._lock:
            if self._bodies.setdefault(token, digest) != digest:
                raise WrongSignatureError
            if len(self._bodies) > MOST_TOKENS:
                del self._bodies[next(iter(self._bodies))]  # the oldest


def _event(event: object) -> MailEvent:
    status = value_at(event, "delivery-status")
    replies = [text_at(status, "message"), text_at(status, "description"), text_at(event, "reject", "reason")]
    return MailEvent(
        names=kinds(*(text_at(event, name) for name in ("event", "severity", "reason"))),
        message_id=message_id_of(text_at(event, "user-variables", MESSAGE_ID_NAME)),
        provider_message_id=text_at(event, "message", "headers", "message-id"),
        recipient=text_at(event, "recipient"),
        status=text_at(status, "enhanced-code"),
        reply=next(filter(None, replies), ""),
        occurred_at=time_of(value_at(event, "timestamp")),
    )
