"""Brevo's transactional webhooks, with credentials in their URL.

Source: https://developers.brevo.com/docs/transactional-webhooks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from receiver.callbacks.mail.events import (
    ARRIVED,
    BAD_ADDRESS,
    COMPLAINED,
    GAVE_UP,
    NOT_SENT,
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
from receiver.callbacks.mail.signatures import Received, check_credentials
from shared.reports.mail_ids import BREVO_HEADER, MESSAGE_ID_NAME

RULES: Rules = {
    "delivered": ARRIVED,
    "deferred": WAITS,
    "spam": COMPLAINED,
    "hard_bounce": BAD_ADDRESS,
    "soft_bounce": GAVE_UP,
    "invalid_email": BAD_ADDRESS,
    "blocked": NOT_SENT,
    "error": NOT_SENT,
}


@dataclass(frozen=True)
class Brevo:
    """The webhook, with its pairs ``user:password``."""

    credentials: Sequence[str] = field(repr=False)
    rules = RULES

    def read(self, request: Received) -> Iterator[MailEvent]:
        """Check the credentials and return the event, or the events of a batch."""
        check_credentials(request, self.credentials)
        return map(_event, objects(parse(request.body)))


def _event(event: dict[str, object]) -> MailEvent:
    name, _, message_id = text_at(event, BREVO_HEADER).partition(":")
    return MailEvent(
        names=(text_at(event, "event"),),
        message_id=message_id_of(message_id) if name == MESSAGE_ID_NAME else None,
        provider_message_id=text_at(event, "message-id"),
        recipient=text_at(event, "email"),
        reply=text_at(event, "reason"),
        # "ts_event" is in UTC. "ts" and "date" are in the account's time zone.
        occurred_at=time_of(value_at(event, "ts_event")),
    )
