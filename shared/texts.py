"""Texts of people and other servers: find odd characters, and mask personal data before a text is stored or shown.

Separate from ``addresses``, which is slow to import.
"""

import re
import unicodedata
from collections.abc import Sequence

LONGEST_DIAGNOSTIC = 300
"""Characters."""
LONGEST_OF_MAIL = 1000
"""Characters of a mail server's text."""

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_CONTROL_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
"""Controls, halves of surrogate pairs, and separators of lines and paragraphs."""

# The first group is kept: Twilio's code after the status, a status of SMPP, and Microsoft Entra's code. Replies quote
# recipients as they were sent to the provider, so a name without an address appears only in angle brackets or
# quotes. Six digits may be one of our codes, because a gateway may quote the message. Brackets exclude "<", because the
# time for a text of many "<" was cubic otherwise.
_PERSONAL = re.compile(
    r"(^HTTP [0-9]{3} [0-9]{5}:|0x[0-9A-F]{8}\b|\bAADSTS[0-9]{4,8}\b)"
    r"|\S*(?:\"[^\"]*\"|<[^<>]*>|@)\S*"
    r"|\+?[0-9](?:[ ()-]{0,2}[0-9]){6,}|[0-9]{6}"
)


def masked(address: str) -> str:
    """Return enough of an address to recognize one's own, and too little to use another's.

    ``ada@example.org`` becomes ``a…@example.org``, ``+33612345678`` becomes ``+33…78``.
    """
    local, at, domain = address.partition("@")
    if at:
        return f"{local[:1]}…@{domain}"
    return f"{address[:3]}…{address[-2:]}"


def without_personal(text: str) -> str:
    """Return the text of a provider or another server, without addresses, numbers, and quoted text."""
    return _PERSONAL.sub(lambda found: found[1] or "…", printable(text))


def diagnostic_of(text: str) -> str | None:
    """Return the text of a report in a form that may be stored, or None if it has no printable character."""
    return " ".join(without_personal(text[: 4 * LONGEST_DIAGNOSTIC]).split())[:LONGEST_DIAGNOSTIC] or None


def mail_diagnostic(text: str, names: Sequence[str]) -> str | None:
    """Return a mail server's text in a form that may be stored, or None if no character is left.

    ``names`` are the local parts of recipients, which servers quote without the domain. The longest comes first.
    """
    masked_text = without_personal(_cut(text))
    if names:
        pattern = "|".join(map(re.escape, names))
        masked_text = re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", "…", masked_text, flags=re.IGNORECASE)
    return " ".join(masked_text.split())[:LONGEST_OF_MAIL] or None


def printable(text: str) -> str:
    """Replace unprintable characters by spaces: line ends, and NUL and surrogates, which PostgreSQL rejects."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text).strip()


def has_control_characters(text: str) -> bool:
    """Return whether the text has characters that end lines, reorder text or cannot be encoded."""
    return any(
        character in _BIDI_CONTROLS or unicodedata.category(character) in _CONTROL_CATEGORIES for character in text
    )


def _cut(text: str) -> str:
    """Cut a text between words, because half an address would not be masked."""
    return text if len(text) <= LONGEST_OF_MAIL else text[:LONGEST_OF_MAIL].rpartition(" ")[0]
