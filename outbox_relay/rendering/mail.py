"""Compose the MIME message of an e-mail with the standard library, and compile it.

The result is 7-bit, except for a recipient's address that is not ASCII. Every line ends in CRLF and has at most 76
columns. A header line with a long address or Message-ID is an exception: it cannot be folded, but stays below 998
columns (RFC 5322 §2.1.1).
"""

import re
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from outbox_relay.rendering.branding import Sender
from outbox_relay.rendering.compiled_template import (
    LONGEST_LINE,
    SOFT_BREAK,
    CompiledTemplate,
    OutputContext,
    Value,
    compile_template,
    placeholder,
    without_first_dots,
)
from shared.vocabulary import Locale

BOUNDARY = "=_signpost"
"""Cannot occur in a quoted-printable body, where two hex digits or a line end follow each ``=``."""

# A line grows by two columns when its first dot is encoded.
NARROW_SMTP = SMTP.clone(max_line_length=LONGEST_LINE - 2)


@dataclass(frozen=True)
class MailTexts:
    """The texts of an e-mail. The subject is one line."""

    subject: str
    text: str
    html: str


def compile_mail(texts: MailTexts, sender: Sender, locale: Locale) -> CompiledTemplate:
    """Compose the mail with placeholders for values, and compile it."""
    composed = compose(texts, sender, locale).as_bytes()
    return compile_template(_message_headers(sender) + without_first_dots(_with_soft_breaks(composed)))


def compose(texts: MailTexts, sender: Sender, locale: Locale) -> EmailMessage:
    """Compose everything but Date, Message-ID and To."""
    message = EmailMessage(policy=NARROW_SMTP)
    message["From"] = Address(sender.name, addr_spec=sender.address)
    if sender.reply_to:
        message["Reply-To"] = sender.reply_to
    message["Subject"] = texts.subject
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: suppresses vacation notices
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    message.set_content(texts.text, cte="quoted-printable")
    message.make_alternative(boundary=BOUNDARY)
    message.add_alternative(texts.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = locale.value
    return message


def _message_headers(sender: Sender) -> bytes:
    date, message_id, recipient = (
        placeholder(OutputContext.HEADER, value) for value in (Value.DATE, Value.ID, Value.RECIPIENT)
    )
    return f"Date: {date}\r\nMessage-ID: <{message_id}@{sender.domain}>\r\nTo: {recipient}\r\n".encode("ascii")


def _with_soft_breaks(composed: bytes) -> bytes:
    return _PLACEHOLDER_IN_BODY.sub(lambda found: SOFT_BREAK + found[0].replace(SOFT_BREAK, b"") + SOFT_BREAK, composed)


def _placeholder_pattern() -> re.Pattern[bytes]:
    # The encoder may have broken the line anywhere in a placeholder, or just before or after it. One pattern finds all
    # placeholders. It begins with one of only two characters, which makes the search fast. A separate search for each
    # placeholder took half of the compile time.
    soft_break = b"(?:" + SOFT_BREAK + b")?"

    def spelled(letters: bytes) -> bytes:
        return b"".join(bytes([letter]) + soft_break for letter in letters)

    name = b"(?:[a-z_]" + soft_break + b")+?"
    first = b"(?:" + SOFT_BREAK + b"f|f)" + soft_break
    return re.compile(first + spelled(b"ill_") + name + spelled(b"_") + name + spelled(b"_here"))


_PLACEHOLDER_IN_BODY = _placeholder_pattern()
