"""Which characters no name or address may have: those that break a line, turn the text around, or stay unseen."""

import unicodedata

from marshmallow import ValidationError

from api_service.errors import FaultCode

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_CONTROL_CATEGORIES = ("Cc", "Zl", "Zp")
_UNSEEN_CATEGORIES = ("Cf", "Co", "Cn")
"""Format characters, private ones and those that are none (yet)."""
_JOINERS = frozenset("\u200c\u200d")
"""Within words of Persian or of Indian scripts they change how letters join; anywhere else nobody sees them."""
_VIRAMA = 9
"""The combining class of the marks that take the vowel from a letter of an Indian script."""
BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that are drawn as nothing."""


def refuse_controls(text: str) -> None:
    """Raise ValidationError for characters that end lines, or that reorder what is read after them."""
    if text.isprintable():
        return  # Python says so of no character of any of these kinds, and says it far sooner
    for character in text:
        if character in _BIDI_CONTROLS or unicodedata.category(character) in _CONTROL_CATEGORIES:
            raise ValidationError(FaultCode.CONTROL_CHARACTER)


def refuse_unseen(text: str) -> None:
    """Raise ValidationError for characters that nobody sees, by which two names could differ and look the same."""
    padded = f" {text} "
    for before, character, after in zip(padded, padded[1:], padded[2:], strict=False):
        is_joining = character in _JOINERS and _can_join(before, after)
        if unicodedata.category(character) in _UNSEEN_CATEGORIES and not is_joining:
            raise ValidationError(FaultCode.CONTROL_CHARACTER)


def _can_join(before: str, after: str) -> bool:
    """Tell whether a joiner changes what is seen here, roughly as RFC 5892 Appendix A has it."""
    return unicodedata.combining(before) == _VIRAMA or (_is_of_a_word(before) and _is_of_a_word(after))


def _is_of_a_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM" and not character.isascii()
