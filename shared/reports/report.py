"""A delivery report, and the statement with which receivers store it. The relay matches and applies it later."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4


class ReportKind(StrEnum):
    """The fate of the message."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    DELAYED = "delayed"
    COMPLAINED = "complained"


class BounceCause(StrEnum):
    """Why a message bounced. Only ``recipient`` and ``mailbox_full`` count against the address."""

    RECIPIENT = "recipient"
    MAILBOX_FULL = "mailbox_full"
    CONTENT = "content"
    POLICY = "policy"
    OTHER = "other"


class ReportSource(StrEnum):
    """How the report arrived."""

    LMTP = "lmtp"
    IMAP = "imap"
    TWILIO = "twilio"
    KANNEL = "kannel"
    JSON = "json"
    SMPP = "smpp"
    SES = "ses"
    SENDGRID = "sendgrid"
    MAILGUN = "mailgun"
    POSTMARK = "postmark"
    RESEND = "resend"
    BREVO = "brevo"


class IgnoredBecause(StrEnum):
    """Why a report does not count.

    ``OTHER_RECIPIENT``: an operator corrected the message's address after it was sent. ``CODE_ENTERED``: the user had
    already entered the code.
    """

    OTHER_RECIPIENT = "other_recipient"
    CODE_ENTERED = "code_entered"


@dataclass(frozen=True)
class DeliveryReport:
    """A report about one message, which it names by our id, or by the provider's name and the provider's id.

    ``diagnostic`` is masked already (``shared.texts``). ``occurred_at`` is the reporter's time, if it gave one.
    ``dates`` are an SMSC's dates as it writes them, without a time zone. They are not stored.
    """

    kind: ReportKind
    source: ReportSource
    message_id: UUID | None = None
    recipient_tag: str | None = None
    provider: str | None = None
    provider_message_id: str | None = None
    cause: BounceCause | None = None
    is_permanent: bool = False
    status_code: str | None = None
    diagnostic: str | None = None
    occurred_at: datetime | None = None
    dates: str = ""

    @property
    def deduplication_key(self) -> bytes:
        """Return the key that repetitions of the report share, even if one came over LMTP and another over IMAP.

        It includes the tag, because both the former and the corrected address of a message may bounce. It does not
        include the status code and the diagnostic. So a server cannot flood the table with varied bounces: an address
        has at most 13 reports about a message, one of each kind and cause. An SMSC may use an id again within a week.
        So the key of a receipt includes the receipt's dates, which its repetitions share.
        """
        ours = self.message_id and (self.message_id, self.recipient_tag)
        subject = ours or (self.provider, self.provider_message_id, self.dates)
        facts = (*subject, self.kind, self.cause, self.is_permanent)
        return hashlib.sha256(repr([str(fact) for fact in facts]).encode()).digest()

    def parameters(self) -> Mapping[str, Any]:
        """Return the parameters of STORE_REPORT."""
        return {**vars(self), "id": uuid4(), "deduplication_key": self.deduplication_key}


STORE_REPORT = """
insert into delivery_reports (id, deduplication_key, message_id, recipient_tag, provider, provider_message_id,
                              kind, cause, is_permanent, status_code, diagnostic, source, occurred_at)
values (%(id)s, %(deduplication_key)s, %(message_id)s, %(recipient_tag)s, %(provider)s, %(provider_message_id)s,
        %(kind)s, %(cause)s, %(is_permanent)s, %(status_code)s, %(diagnostic)s, %(source)s, %(occurred_at)s)
on conflict do nothing
"""
"""The placeholders are psycopg's. Commit before you acknowledge the report: its reporter repeats only what was not
acknowledged."""
