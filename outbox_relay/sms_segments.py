"""Count the SMS segments of a text: its alphabet, and the segments that phones join again.

Sources: 3GPP TS 23.038 §6.2.1 and §6.2.1.1 for the default alphabet and its extension table; 3GPP TS
23.040 §9.2.3.24.1 for joined segments, whose 6-octet header leaves 153 septets or 134 octets of the 140
octets. Providers charge per segment.
"""

from collections.abc import Iterable
from enum import StrEnum

# A character's index is its septet. ESC, at 0x1B, is not a character.
_DEFAULT = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPE = 0x1B
_EXTENSION = {
    "\f": 0x0A, "^": 0x14, "{": 0x28, "}": 0x29, "\\": 0x2F, "[": 0x3C, "~": 0x3D, "]": 0x3E, "|": 0x40, "€": 0x65,
}  # fmt: skip
_SEPTETS = {character: bytes([code]) for code, character in enumerate(_DEFAULT) if code != _ESCAPE} | {
    character: bytes([_ESCAPE, code]) for character, code in _EXTENSION.items()
}

ALONE_SEPTETS, JOINED_SEPTETS = 160, 153
ALONE_UNITS, JOINED_UNITS = 70, 67
_OCTETS_A_UNIT = 2


class Alphabet(StrEnum):
    """The encodings of SMS. UCS-2 is used as UTF-16, as phones do."""

    GSM_7 = "gsm-7"
    UCS_2 = "ucs-2"


def alphabet_of(text: str) -> Alphabet:
    """Return GSM-7 if it has all characters of the text. One character outside it more than halves the capacity."""
    return Alphabet.GSM_7 if _SEPTETS.keys() >= set(text) else Alphabet.UCS_2


def encoded(text: str) -> bytes:
    """Encode the text in its alphabet: one septet per octet, or two octets per code unit, high octet first."""
    match alphabet_of(text):
        case Alphabet.GSM_7:
            return b"".join(_SEPTETS[character] for character in text)
        case Alphabet.UCS_2:
            return text.encode("utf-16-be", errors="replace")


def segments_in(text: str) -> int:
    """Count the segments of a text. An empty text is one segment."""
    match alphabet_of(text):
        case Alphabet.GSM_7:
            return _segments(map(len, map(_SEPTETS.__getitem__, text)), ALONE_SEPTETS, JOINED_SEPTETS)
        case Alphabet.UCS_2:
            return _segments(map(_units_of, text), ALONE_UNITS, JOINED_UNITS)


def _units_of(character: str) -> int:
    return len(character.encode("utf-16-be", errors="replace")) // _OCTETS_A_UNIT


def _segments(widths: Iterable[int], alone: int, joined: int) -> int:
    """Fill segments in order, without splitting an escaped character or a surrogate pair."""
    all_widths = list(widths)
    if sum(all_widths) <= alone:
        return 1
    count, free = 0, 0
    for width in all_widths:
        if width > free:
            count, free = count + 1, joined
        free -= width
    return count
