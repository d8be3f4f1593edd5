"""Fixed bytes with holes: what is left of a message when everything that never changes is done once.

A message is first composed with a *mark* in place of each value, then cut at the marks. A mark is of
plain letters, which no escaping or encoding on the way alters.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from markupsafe import escape

from outbox_relay.rendering.quoted_printable import quoted


class Value(StrEnum):
    """What differs from one message to the next of the same form."""

    RECIPIENT = "recipient"
    DATE = "date"
    ID = "id"
    NAME = "name"
    CODE = "code"
    LINK = "link"
    EXPIRES = "expires"


class Place(StrEnum):
    """Where a hole is, and so how a value is written there."""

    HEADER = "header"
    TEXT = "text"
    HTML = "html"
    SMS = "sms"


MARK = re.compile(rb"hole_([a-z]+)_([a-z]+)_eloh")
_MARKUP = re.compile("[&<>\"']")


def mark(place: Place, value: Value) -> str:
    """Return the stand-in for a value while a message is composed."""
    return f"hole_{place}_{value}_eloh"


class Hole(NamedTuple):
    """Room for a value, and the way it is written there."""

    value: Value
    write: Callable[[str], bytes]


class Skeleton:
    """A message but for its values."""

    def __init__(self, fixed: list[bytes], holes: list[Hole]) -> None:
        self._holes = holes
        self._pieces = [b""] * (len(fixed) + len(holes))
        self._pieces[0::2] = fixed
        self.values = frozenset(value for value, _ in holes)

    def filled(self, values: Mapping[Value, str]) -> bytes:
        """Return the message with a value in each hole; ``values`` must hold all of ``self.values``."""
        pieces = self._pieces.copy()
        pieces[1::2] = [write(values[value]) for value, write in self._holes]
        return b"".join(pieces)


def cut(composed: bytes) -> Skeleton:
    """Cut what was composed with marks into its fixed bytes and its holes."""
    fixed, places, values = (MARK.split(composed)[part::3] for part in range(3))
    holes = [
        Hole(Value(value.decode()), _way_of_writing(Place(place.decode())))
        for place, value in zip(places, values, strict=True)
    ]
    return Skeleton(fixed, holes)


def _way_of_writing(place: Place) -> Callable[[str], bytes]:
    match place:
        case Place.HEADER:
            return _in_header
        case Place.TEXT:
            return quoted
        case Place.HTML:
            return _in_html
        case Place.SMS:
            return str.encode


def _in_header(value: str) -> bytes:
    return value.encode("ascii")


def _in_html(value: str) -> bytes:
    # Most values need no escaping, and to ask is three times as fast as to do it.
    return quoted(str(escape(value)) if _MARKUP.search(value) else value)
