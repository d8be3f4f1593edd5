"""Texts of reports in a form that may be stored: short, printable, and without whole addresses and numbers."""

import re

from shared.masks import masked

LONGEST = 300
"""Characters."""
_ADDRESS = re.compile(r"[^\s<>\"'(),:;]+@[^\s<>\"'(),:;]+")
_NUMBER = re.compile(r"\+?\d{6,}", re.ASCII)
"""Phone numbers, and our own codes of six digits: a gateway may quote the message."""


def diagnostic_of(text: str) -> str | None:
    """Return the text with its addresses and numbers masked, or None if it has no printable character."""
    line = "".join(character if character.isprintable() else " " for character in text[: 4 * LONGEST])
    line = _ADDRESS.sub(lambda found: masked(found[0]), " ".join(line.split()))
    return _NUMBER.sub("…", line)[:LONGEST] or None
