"""The MIME around the words of an e-mail, composed once by the standard library and cut at the marks.

Everything in the result is 7-bit, but for a recipient's address that is not; and every line ends in CRLF
and is at most 76 columns wide, but for a header line whose address or Message-ID is longer: those cannot
be folded, and keep within 998 all the same (RFC 5322 §2.1.1).
"""

import re
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from outbox_relay.rendering.pens import Place, Value
from outbox_relay.rendering.quoted_printable import LONGEST_LINE, SOFT_BREAK, without_first_dots
from outbox_relay.rendering.sender import Sender
from outbox_relay.rendering.skeleton import Skeleton, cut, mark
from shared.vocabulary import Locale

BOUNDARY = "=_signpost"
"""No quoted-printable body can hold it: there, a ``=`` is followed by two hex digits or the line's end."""

# Leaves room for the two columns by which a line grows when its first dot is encoded.
NARROW_SMTP = SMTP.clone(max_line_length=LONGEST_LINE - 2)


@dataclass(frozen=True)
class MailWords:
    """The words of an e-mail, its subject on one line."""

    subject: str
    text: str
    html: str


def mail_skeleton(words: MailWords, sender: Sender, locale: Locale) -> Skeleton:
    """Compose the mail with marks for values, and cut it at them."""
    composed = compose(words, sender, locale).as_bytes()
    return cut(_own_headers(sender) + without_first_dots(_with_room_for_values(composed)))


def compose(words: MailWords, sender: Sender, locale: Locale) -> EmailMessage:
    """Compose what all mails of these words share: all of it but Date, Message-ID and To."""
    message = EmailMessage(policy=NARROW_SMTP)
    message["From"] = Address(sender.name, addr_spec=sender.address)
    if sender.reply_to:
        message["Reply-To"] = sender.reply_to
    message["Subject"] = words.subject
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: no vacation notice answers it
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    message.set_content(words.text, cte="quoted-printable")
    message.make_alternative(boundary=BOUNDARY)
    message.add_alternative(words.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = locale.value
    return message


def _own_headers(sender: Sender) -> bytes:
    date, message_id, recipient = (mark(Place.HEADER, value) for value in (Value.DATE, Value.ID, Value.RECIPIENT))
    return f"Date: {date}\r\nMessage-ID: <{message_id}@{sender.domain}>\r\nTo: {recipient}\r\n".encode("ascii")


def _with_room_for_values(composed: bytes) -> bytes:
    return _MARK_IN_BODY.sub(lambda found: SOFT_BREAK + found[0].replace(SOFT_BREAK, b"") + SOFT_BREAK, composed)


def _pattern_of_marks() -> re.Pattern[bytes]:
    # The encoder may have broken the line anywhere in a mark, or just before or after it. All marks in one pattern,
    # which begins with one of two characters: to look for each mark everywhere was half of preparing a mail.
    soft_break = b"(?:" + SOFT_BREAK + b")?"

    def spelt(letters: bytes) -> bytes:
        return b"".join(bytes([letter]) + soft_break for letter in letters)

    name = b"(?:[a-z]" + soft_break + b")+"
    first = b"(?:" + SOFT_BREAK + b"h|h)" + soft_break
    return re.compile(first + spelt(b"ole_") + name + spelt(b"_") + name + spelt(b"_eloh"))


_MARK_IN_BODY = _pattern_of_marks()
