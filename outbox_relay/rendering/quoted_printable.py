"""Quoted-printable (RFC 2045 §6.7), so that no line of a mail needs the dot-stuffing of RFC 5321 §4.5.2.

A value of any length fits wherever it is put: a soft line break stands before and after it.
"""

import re
from binascii import b2a_qp

from markupsafe import escape

SOFT_BREAK = b"=\r\n"
LONGEST_LINE = 76
"""Columns, with the ``=`` of a soft break (RFC 2045 §6.7, rule 5)."""

_WRITTEN_AS_IT_IS = re.compile(r"(?!\.)[ -<>-~]{0,75}")
_FIRST_DOTS = re.compile(rb"^\.", re.MULTILINE)
_BYTES_A_LINE = 25  # each takes up to three columns


def quoted(value: str) -> bytes:
    """Encode a value that stands between two soft line breaks."""
    if _WRITTEN_AS_IT_IS.fullmatch(value):
        return value.encode("ascii")
    octets = value.encode()
    if len(octets) <= _BYTES_A_LINE:
        return _line(octets)
    return SOFT_BREAK.join([_line(octets[at : at + _BYTES_A_LINE]) for at in range(0, len(octets), _BYTES_A_LINE)])


def quoted_html(value: str) -> bytes:
    """Encode a value that stands between two soft line breaks of HTML, as text there."""
    return quoted(str(escape(value)))


def without_first_dots(encoded: bytes) -> bytes:
    """Encode each dot that begins a line; such a line grows by two columns."""
    return _FIRST_DOTS.sub(b"=2E", encoded)


def _line(octets: bytes) -> bytes:
    encoded = b2a_qp(octets, istext=False)
    return b"=2E" + encoded[1:] if encoded.startswith(b".") else encoded
