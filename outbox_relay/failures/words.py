"""What a server's text says besides its code, and how much of it is kept."""

import re
from datetime import timedelta

LONGEST_WAIT = timedelta(days=1)
"""The most that a provider may ask us to wait; more is taken for a mistake of its."""

LONGEST_ERROR = 500
"""Characters of a provider's words that are kept for operators."""

_SECONDS_PER = {"s": 1, "m": 60, "h": 3600}
_WAIT = re.compile(
    r"(?:try|retry|again|wait|come back|greylist\w*|graylist\w*)\b[^.\n]{0,40}?"
    r"\b(\d{1,6}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b",
    re.IGNORECASE | re.ASCII,  # or the long s of old prints would be one, and of no unit
)


def retry_after_in(text: str) -> timedelta | None:
    """Find a hint such as ``try again in 5 minutes``, which greylisting servers give."""
    found = _WAIT.search(text)
    if found is None:
        return None
    return min(timedelta(seconds=int(found[1]) * _SECONDS_PER[found[2][0].lower()]), LONGEST_WAIT)


def printable(text: str) -> str:
    """Replace what cannot be printed by spaces: line ends, and NUL and surrogates, which no database takes."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text).strip()


def storable(text: str | None) -> str | None:
    """Make a server's words fit for PostgreSQL, which takes no NUL and no lone surrogate."""
    if text is None or (text.isascii() and "\0" not in text):
        return text and text[:LONGEST_ERROR]
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:LONGEST_ERROR]
