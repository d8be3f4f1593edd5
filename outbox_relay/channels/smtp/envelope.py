"""Which recipients may be named to a server, and the commands that name them; pure."""

import re

_PLAIN_ADDRESS = re.compile(r"[!-;=?-~]+")
"""Printable ASCII without space and angle brackets: nothing that could end the command it stands in."""

_BEYOND_ASCII = re.compile(r"[!-;=?-~\x80-\U0010ffff]+")


class UnnameableError(Exception):
    """The recipient cannot be named to this server; the text tells operators why, and does not quote it."""


class Envelopes:
    """The MAIL and RCPT of each letter that leaves from ``sender``, for one server."""

    def __init__(self, sender: str, *, has_smtputf8: bool) -> None:
        self._mail = f"MAIL FROM:<{sender}>\r\n".encode("ascii")
        # RFC 6531 §3.4; whoever offers SMTPUTF8 offers 8BITMIME too (§3.1), and the headers are not 7-bit.
        self._mail_utf8 = f"MAIL FROM:<{sender}> BODY=8BITMIME SMTPUTF8\r\n".encode("ascii")
        self._has_smtputf8 = has_smtputf8

    def commands(self, recipient: str) -> tuple[bytes, bytes]:
        """Return the two commands, with their line ends. Raises UnnameableError."""
        if _PLAIN_ADDRESS.fullmatch(recipient):
            return self._mail, b"RCPT TO:<%b>\r\n" % recipient.encode()
        if recipient.isascii() or not (recipient.isprintable() and _BEYOND_ASCII.fullmatch(recipient)):
            raise UnnameableError("the address cannot stand in an SMTP command")
        if not self._has_smtputf8:
            raise UnnameableError("the address is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531)")
        return self._mail_utf8, b"RCPT TO:<%b>\r\n" % recipient.encode()
