"""Bytes from the server → replies (RFC 5321 §4.2), however they were cut into packets."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from outbox_relay.channels.base import LONGEST_MESSAGE_ID
from outbox_relay.failures import printable

LONGEST_LINE = 2048
"""Octets; four times what RFC 5321 §4.5.3.1.5 allows."""

MOST_LINES = 100

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\r]*))?\r?")


class GarbageError(ConnectionError):
    """The server says what no SMTP server says."""


CLOSING = 421
"""Whatever was asked, the server closes the connection (RFC 5321 §3.8)."""


class Reply(NamedTuple):
    """One whole reply; its text has the code taken off each line and holds nothing unprintable."""

    code: int
    text: str

    @property
    def is_yes(self) -> bool:
        """Whether it is of the 2yz class."""
        return 200 <= self.code < 300  # noqa: PLR2004 - the class itself

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class ReplyParser:
    """Puts replies together; never holds more than one line and the texts of one reply."""

    def __init__(self) -> None:
        self._rest = b""
        self._texts: list[str] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a reply that has only begun is held."""
        return not (self._rest or self._texts)

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Yield each reply that ``data`` completes; raises GarbageError after those that came before."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            reply, is_last = _parsed(line)
            if is_last and not self._texts:
                yield reply
                continue
            self._texts.append(reply.text)
            if len(self._texts) > MOST_LINES:
                raise GarbageError("the server sent a reply without end")
            if is_last:
                text, self._texts = "\n".join(self._texts), []
                yield Reply(reply.code, text)
        if len(self._rest) > LONGEST_LINE:
            raise GarbageError("the server sent a line without end")


# Most of what a server says are the same few lines, over and over.
@lru_cache(maxsize=64)
def _parsed(line: bytes) -> tuple[Reply, bool]:
    """Return what is on the line, and whether the reply ends with it."""
    found = _LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
    if found is None:
        raise GarbageError("the server sent something that is not an SMTP reply")
    code, separator, text = found.groups()
    return Reply(int(code), printable((text or b"").decode("ascii", "replace"))), separator != b"-"


def message_id_in(reply: Reply) -> str | None:
    """Return what the server calls the letter it has accepted (``queued as ABC``), else its words."""
    for marker in ("queued as ", " id="):
        words = reply.text.partition(marker)[2].split(maxsplit=1)
        if words:
            return words[0][:LONGEST_MESSAGE_ID]
    return reply.text[:LONGEST_MESSAGE_ID] or None
