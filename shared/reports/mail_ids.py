"""How a mail names its message at an HTTPS provider: the relay sends the id, and the provider's events quote it.

An event is authenticated as a whole, so the id in it needs no further MAC.
"""

from enum import StrEnum
from uuid import UUID

MESSAGE_ID_NAME = "signpost_message_id"
"""The name of the custom field, in the form that each provider has for it. Its value is the message's id, as text.

- Amazon SES: ``EmailTags``
- SendGrid: ``custom_args``
- Mailgun: ``v:signpost_message_id``
- Postmark: ``Metadata``
- Resend: ``tags``
- Brevo: the header BREVO_HEADER with ``brevo_header`` as its value
"""
BREVO_HEADER = "X-Mailin-custom"
"""The only header that Brevo's events quote."""


class MailProvider(StrEnum):
    """The providers whose events are understood."""

    SES = "ses"
    SENDGRID = "sendgrid"
    MAILGUN = "mailgun"
    POSTMARK = "postmark"
    RESEND = "resend"
    BREVO = "brevo"


def brevo_header(message_id: UUID) -> str:
    """Return the value of BREVO_HEADER for a message."""
    return f"{MESSAGE_ID_NAME}:{message_id}"
