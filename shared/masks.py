"""Mask addresses, in fields and in the texts of others. Separate from ``addresses``, which is slow to import."""

import re

# The first group is kept: Twilio's code after the status, and a status of SMPP. Replies quote recipients as they were
# sent to the provider, so a name without an address stands in angle brackets or quotes, if at all.
_PERSONAL = re.compile(
    r"(^HTTP [0-9]{3} [0-9]{5}:|0x[0-9A-F]{8}\b)"
    r"|\S*(?:\"[^\"]*\"|<[^>]*>|@)\S*"
    r"|\+?[0-9](?:[ ()-]{0,2}[0-9]){6,}"
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
    """Return what a provider or another server wrote, without addresses, numbers, and quoted text."""
    return _PERSONAL.sub(lambda found: found[1] or "…", printable(text))


def printable(text: str) -> str:
    """Replace unprintable characters by spaces: line ends, and NUL and surrogates, which PostgreSQL rejects."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text).strip()
