"""Checks of characters in texts that people write."""

import unicodedata

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_CONTROL_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
"""Controls, halves of surrogate pairs, and separators of lines and paragraphs."""


def has_control_characters(text: str) -> bool:
    """Return whether the text has characters that end lines, reorder text or cannot be encoded."""
    return any(
        character in _BIDI_CONTROLS or unicodedata.category(character) in _CONTROL_CATEGORIES for character in text
    )
