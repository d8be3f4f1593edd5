"""What a test's SMTP server does, and when it does something else than it should."""

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto


class Moment(StrEnum):
    """When the server could do something else than it should."""

    CONNECT = "connect"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    HANDSHAKE = "TLS handshake"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"  # when the first of it has come
    FINAL_DOT = "final dot"
    ACCEPTED = "accepted"  # when it has said so
    RSET = "RSET"
    QUIT = "QUIT"


class End(Enum):
    """What it can do instead of answering."""

    CLOSE = auto()
    HANG = auto()


@dataclass
class Script:
    """What the server does; it looks each time, so that a test may change it on the way.

    What is done ``instead`` is done each time, or by turns: None, and the end of the turns, are as usual.
    """

    offers: tuple[str, ...] = ("PIPELINING", "8BITMIME")
    instead: dict[Moment, bytes | End | Iterator[bytes | End | None]] = field(default_factory=dict)
    refused: Mapping[str, bytes] = field(default_factory=dict)
    asks_for_content_of_refused: bool = False
    tls: ssl.SSLContext | None = None
    is_encrypted: bool = False  # from the start
