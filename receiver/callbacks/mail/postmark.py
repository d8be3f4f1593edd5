"""Postmark's webhooks for deliveries, bounces and spam complaints, with credentials in their URL.

Sources: https://postmarkapp.com/developer/webhooks/bounce-webhook and
https://postmarkapp.com/developer/api/bounce-api#bounce-types.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from receiver.callbacks.mail.events import (
    ARRIVED,
    BAD_ADDRESS,
    BAD_CONTENT,
    BLOCKED,
    BOUNCED,
    COMPLAINED,
    GAVE_UP,
    NOT_SENT,
    WAITS,
    MailEvent,
    Rules,
    kinds,
    message_id_of,
    parse_object,
    text_at,
    time_of,
)
from receiver.callbacks.mail.signatures import Received, check_credentials
from shared.reports.mail_ids import MESSAGE_ID_NAME

# Without the types that are no news: Subscribe, Unsubscribe, AutoResponder, AddressChange, OpenRelayTest, InboundError.
RULES: Rules = {
    "Delivery": ARRIVED,
    "SpamComplaint": COMPLAINED,
    "Bounce/HardBounce": BAD_ADDRESS,
    "Bounce/Transient": WAITS,
    "Bounce/DnsError": GAVE_UP,
    "Bounce/SpamNotification": BAD_CONTENT,
    "Bounce/Unknown": BOUNCED,
    "Bounce/SoftBounce": GAVE_UP,
    "Bounce/VirusNotification": BAD_CONTENT,
    "Bounce/ChallengeVerification": NOT_SENT,
    "Bounce/BadEmailAddress": BAD_ADDRESS,
    "Bounce/SpamComplaint": COMPLAINED,
    "Bounce/ManuallyDeactivated": NOT_SENT,
    "Bounce/Unconfirmed": NOT_SENT,
    "Bounce/Blocked": BLOCKED,
    "Bounce/SMTPApiError": NOT_SENT,
    "Bounce/DMARCPolicy": BLOCKED,
    "Bounce/TemplateRenderingFailed": NOT_SENT,
}


@dataclass(frozen=True)
class Postmark:
    """The webhook, with its pairs ``user:password``."""

    credentials: Sequence[str] = field(repr=False)
    rules = RULES

    def read(self, request: Received) -> Iterator[MailEvent]:
        """Check the credentials and return the event."""
        check_credentials(request, self.credentials)
        event = parse_object(request.body)
        times = [text_at(event, name) for name in ("DeliveredAt", "BouncedAt")]
        yield MailEvent(
            names=kinds(text_at(event, "RecordType"), text_at(event, "Type")),
            message_id=message_id_of(text_at(event, "Metadata", MESSAGE_ID_NAME)),
            provider_message_id=text_at(event, "MessageID"),
            recipient=text_at(event, "Email") or text_at(event, "Recipient"),
            reply=text_at(event, "Details"),
            occurred_at=time_of(next(filter(None, times), None)),
        )
