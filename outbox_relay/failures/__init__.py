"""Whose fault it was: tables and patterns, no IO.

What is our own set-up's fault must never kill a message, so whatever is not plainly about the recipient
or the content is the provider's. Each table is read from the top, and the first rule that fits decides;
docs/delivery.md prints them. ``smtp`` (replies) · ``http`` (statuses) · ``breaks`` (connections) ·
``words`` (what a server's text says, and how much of it is kept) · ``troubles`` (what operators are to do).
"""

from outbox_relay.failures.breaks import beneath, broken_off
from outbox_relay.failures.http import from_http_status, retry_after_header
from outbox_relay.failures.smtp import SmtpCommand, from_smtp_reply
from outbox_relay.failures.troubles import Trouble, trouble_of
from outbox_relay.failures.words import LONGEST_ERROR, LONGEST_WAIT, printable, retry_after_in, storable

__all__ = [
    "LONGEST_ERROR",
    "LONGEST_WAIT",
    "SmtpCommand",
    "Trouble",
    "beneath",
    "broken_off",
    "from_http_status",
    "from_smtp_reply",
    "printable",
    "retry_after_header",
    "retry_after_in",
    "storable",
    "trouble_of",
]
