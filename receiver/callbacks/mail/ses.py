"""Events of Amazon SES, which Amazon SNS delivers: one event in each notification.

Sources: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html and
https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html#bounce-types.
"""

from collections.abc import Iterator, Mapping

from receiver.callbacks.mail.events import (
    ARRIVED,
    BAD_ADDRESS,
    BAD_CONTENT,
    BOUNCED,
    COMPLAINED,
    GAVE_UP,
    MAILBOX_FULL,
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
from receiver.callbacks.mail.signatures import Received
from receiver.callbacks.mail.sns import Kind, Sns
from shared.log import get_logger
from shared.reports.mail_ids import MESSAGE_ID_NAME
from shared.web.problems import MalformedJsonError

BOUNCE_RULES: Rules = {
    "Permanent/General": BAD_ADDRESS,
    "Permanent/NoEmail": BAD_ADDRESS,
    "Permanent/Suppressed": SUPPRESSED,
    "Permanent/OnAccountSuppressionList": SUPPRESSED,
    "Permanent/UnsubscribedRecipient": NOT_SENT,
    "Permanent": BOUNCED,
    "Transient/General": GAVE_UP,
    "Transient/MailboxFull": MAILBOX_FULL,
    "Transient/MessageTooLarge": BAD_CONTENT,
    "Transient/ContentRejected": BAD_CONTENT,
    "Transient/AttachmentRejected": BAD_CONTENT,
    "Transient/CustomTimeoutExceeded": GAVE_UP,
    "Transient": GAVE_UP,
    "Undetermined": GAVE_UP,
}
"""By bounceType and bounceSubType."""

# A complaint of the type "not-spam" is the opposite of one, and "auth-failure" is about a forged mail (RFC 6591). So
# only these types count; mailbox providers may leave the type away.
RULES: Rules = {
    "Delivery": ARRIVED,
    "DeliveryDelay": WAITS,
    "Reject": BAD_CONTENT,
    "Complaint/OnAccountSuppressionList": NOT_SENT,
    "Complaint/abuse": COMPLAINED,
    "Complaint/fraud": COMPLAINED,
    "Complaint/other": COMPLAINED,
    "Complaint/virus": COMPLAINED,
    "Complaint": COMPLAINED,
    **{f"Bounce/{name}": rule for name, rule in BOUNCE_RULES.items()},
    "Bounce": BOUNCED,
}

log = get_logger("callbacks.ses")


class Ses:
    """The webhook, with the hosts of the allowed topics by their ARN."""

    rules = RULES

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self._sns = Sns(hosts)

    def read(self, request: Received) -> Iterator[MailEvent]:
        """Check the signature and return the event, or confirm a subscription."""
        message = parse_object(request.body)
        topic = self._sns.check(message, request.at)
        match Kind(message["Type"]):
            case Kind.NOTIFICATION:
                return iter([event_in(text_at(message, "Message"))])
            case Kind.SUBSCRIPTION:
                self._sns.confirm(message)
                log.info("subscription confirmed", topic=topic)
            case Kind.UNSUBSCRIPTION:
                log.warning("subscription ended", topic=topic)
        return iter(())


def event_in(text: str) -> MailEvent:
    """Return the event in the text of a notification."""
    try:
        event = parse_object(text)
    except MalformedJsonError:
        # "Successfully validated SNS topic for Amazon SES event publishing."
        return MailEvent(names=("text",))
    kind, mail = text_at(event, "eventType") or text_at(event, "notificationType"), value_at(event, "mail")
    bounce, complaint = value_at(event, "bounce"), value_at(event, "complaint")
    names = kinds(kind, text_at(bounce, "bounceType"), text_at(bounce, "bounceSubType"))
    if kind == "Complaint":
        # Without the superset, because a type that is not in the table is no complaint.
        names = kinds(kind, text_at(complaint, "complaintSubType") or text_at(complaint, "complaintFeedbackType"))[:1]
    details = value_at(event, kind[:1].lower() + kind[1:])
    replies = [
        text_at(bounce, "bouncedRecipients", 0, "diagnosticCode"),
        text_at(details, "delayedRecipients", 0, "diagnosticCode"),
        text_at(details, "smtpResponse"),
        text_at(details, "reason"),
    ]
    return MailEvent(
        names=names,
        message_id=message_id_of(text_at(mail, "tags", MESSAGE_ID_NAME, 0)),
        provider_message_id=text_at(mail, "messageId"),
        # Not that of the bounce, which is the Final-Recipient: behind a forwarding, another person.
        recipient=text_at(mail, "destination", 0),
        status=text_at(bounce, "bouncedRecipients", 0, "status"),
        reply=next(filter(None, replies), ""),
        occurred_at=time_of(value_at(details, "timestamp")),
    )
