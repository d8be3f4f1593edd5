"""A letter with blanks to fill in: what is left of a message when everything that never changes is done once.

A message is first composed with a *mark* in place of each value, then cut at the marks. A mark is of
plain letters, which no escaping or encoding on the way alters.
"""

import re

from outbox_relay.rendering.pens import PENS, Facts, Pen, Place, Value

MARK = re.compile(rb"hole_([a-z]+)_([a-z]+)_eloh")


def mark(place: Place, value: Value) -> str:
    """Return the stand-in for a value while a message is composed."""
    return f"hole_{place}_{value}_eloh"


class Skeleton:
    """A message but for its values."""

    def __init__(self, fixed: list[bytes], pens: list[Pen]) -> None:
        # What stands in several holes, written alike, is written once.
        self._pens = list(dict.fromkeys(pens))
        self._order = [self._pens.index(pen) for pen in pens]
        self._pieces = [b""] * (len(fixed) + len(pens))
        self._pieces[0::2] = fixed

    def filled(self, facts: Facts) -> bytes:
        """Return the message with its values in the holes."""
        written = [pen(facts) for pen in self._pens]
        pieces = self._pieces.copy()
        pieces[1::2] = [written[which] for which in self._order]
        return b"".join(pieces)


def cut(composed: bytes) -> Skeleton:
    """Cut what was composed with marks into its fixed bytes and its holes.

    Raises KeyError for a value in a place where nothing says how to write it.
    """
    fixed, places, values = (MARK.split(composed)[part::3] for part in range(3))
    holes = zip(places, values, strict=True)
    return Skeleton(fixed, [PENS[Place(place.decode()), Value(value.decode())] for place, value in holes])
