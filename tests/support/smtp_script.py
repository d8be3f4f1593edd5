"""The behaviour of a test's SMTP server, including deviations from the protocol."""

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto


class Moment(StrEnum):
    """The moments at which the server can deviate."""

    CONNECT = "connect"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    HANDSHAKE = "TLS handshake"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"  # when the first content arrives
    FINAL_DOT = "final dot"
    ACCEPTED = "accepted"  # after the reply
    RSET = "RSET"
    QUIT = "QUIT"


class End(Enum):
    """Faults instead of a reply."""

    CLOSE = auto()
    HANG = auto()


@dataclass
class Script:
    """The server's behaviour. It reads the script at each step, so a test may change it at any time.

    ``tokens`` are the access tokens that XOAUTH2 accepts. ``instead`` replaces usual replies. An iterator gives one
    replacement per turn, or None for the usual reply.
    """

    offers: tuple[str, ...] = ("PIPELINING", "8BITMIME")
    instead: dict[Moment, bytes | End | Iterator[bytes | End | None]] = field(default_factory=dict)
    refused: Mapping[str, bytes] = field(default_factory=dict)
    asks_for_content_of_refused: bool = False
    tokens: set[str] = field(default_factory=set)
    tls: ssl.SSLContext | None = None
    is_encrypted: bool = False  # uses implicit TLS
