"""Classify what went wrong: whose fault is an SMTP reply, an HTTP status or a broken connection? No IO.

A mistake in our own configuration must never kill a message. So a failure is the provider's unless it is
plainly about the recipient or the content. The first matching rule of a table decides; docs/reference/failures.md
prints the tables.
"""

from outbox_relay.failures.http import from_http_status, retry_after_header
from outbox_relay.failures.network import (
    LONGEST_ERROR,
    LONGEST_WAIT,
    FailureCategory,
    category_of,
    connection_failure,
    printable,
    retry_after_in,
    root_cause,
)
from outbox_relay.failures.smtp import SmtpCommand, from_smtp_reply

__all__ = [
    "LONGEST_ERROR",
    "LONGEST_WAIT",
    "FailureCategory",
    "SmtpCommand",
    "category_of",
    "connection_failure",
    "from_http_status",
    "from_smtp_reply",
    "printable",
    "retry_after_header",
    "retry_after_in",
    "root_cause",
]
