"""Values written as PostgreSQL reads them: arrays, and texts that it takes at all."""

from collections.abc import Iterable
from uuid import UUID

LONGEST_ERROR = 500
"""Characters of a provider's words that are kept for operators."""


def uuid_array(ids: Iterable[UUID]) -> str:
    """Write a PostgreSQL array of ids; psycopg, which looks at each for its type, takes six times as long."""
    return f"{{{','.join([one.hex for one in ids])}}}"


def text_array(texts: Iterable[str | None]) -> str:
    """Write a PostgreSQL array of texts, each in quotes (its manual, §8.15.6), likewise."""
    return f"{{{','.join(['null' if text is None else _quoted(text) for text in texts])}}}"


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def storable(text: str | None) -> str | None:
    """Make a server's words fit for PostgreSQL, which takes no NUL and no lone surrogate."""
    if text is None or (text.isascii() and "\0" not in text):
        return text and text[:LONGEST_ERROR]
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:LONGEST_ERROR]
