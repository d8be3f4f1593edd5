"""The settings of `signpost-receiver bounces`, from the environment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from marshmallow import ValidationError, validates_schema

from receiver.settings import ReceiverSettings, ReceiverSettingsSchema
from shared.settings import AdminBind, Bind, Text, Whole
from shared.urls import is_loopback

IMAPS_PORT = 993
NO_IMAP_URL = "is not imaps://user:password@host/mailbox with percent-encoded parts"
LONGEST_SOCKET_PATH = 107
"""Bytes in a ``sockaddr_un`` of Linux, without the final NUL (unix(7))."""


@dataclass(frozen=True)
class Mailbox:
    """An IMAP mailbox, and the login that may read it and delete from it."""

    host: str
    port: int
    user: str = field(repr=False)
    password: str = field(repr=False)
    name: str


class LmtpBind(Text):
    """A loopback address as a pair of host and port, or an absolute path as a Path."""

    def parse(self, text: str) -> tuple[str, int] | Path:
        """Return the address or the path."""
        if text.startswith("/"):
            if len(text.encode()) > LONGEST_SOCKET_PATH:
                raise ValueError(f"is longer than {LONGEST_SOCKET_PATH} bytes")
            return Path(text)
        host, port = Bind("BOUNCE_LMTP_BIND", "").parse(text)
        if not is_loopback(host):
            raise ValueError("is neither a loopback address nor a path: LMTP has no login")
        return host, port


class ImapUrl(Text):
    """``imaps://user:password@host[:port]/mailbox`` as a Mailbox. User, password and mailbox are percent-encoded."""

    def parse(self, text: str) -> Mailbox:
        """Return the mailbox. No message quotes the text, which contains a password."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port or IMAPS_PORT
            values = [unquote(each or "", errors="strict") for each in (parts.username, parts.password, parts.path[1:])]
        except ValueError:
            raise ValueError(NO_IMAP_URL) from None
        if not host or parts.scheme != "imaps" or parts.query or parts.fragment or not all(values[:2]):
            raise ValueError(NO_IMAP_URL)
        if not all(each.isascii() and each.isprintable() for each in values):
            raise ValueError("has a user, password or mailbox with characters other than printable ASCII")
        user, password, name = values
        return Mailbox(host, port, user, password, name or "INBOX")


@dataclass(frozen=True)
class BounceSettings(ReceiverSettings):
    """The settings of the receiver of bounces."""

    bounce_lmtp_bind: tuple[str, int] | Path | None
    bounce_imap_url: Mailbox | None
    bounce_imap_seconds: int


class BounceSettingsSchema(ReceiverSettingsSchema):
    """How they are read."""

    result: ClassVar[Callable[..., Any]] = BounceSettings
    prefix: ClassVar = "RECEIVER_"

    bounce_lmtp_bind = LmtpBind(
        "BOUNCE_LMTP_BIND",
        "Where the mail server delivers bounces over LMTP: a loopback address, or the path of a Unix socket.",
        unit="host:port or path",
        default=None,
    )
    bounce_imap_url = ImapUrl(
        "BOUNCE_IMAP_URL",
        "The mailbox that bounces are fetched from: `imaps://user:password@host/INBOX`, percent-encoded. The receiver"
        " deletes a mail after it has stored its report.",
        unit="URL",
        is_secret=True,
        default=None,
    )
    bounce_imap_seconds = Whole(
        "BOUNCE_IMAP_SECONDS", "How often to look for new mails.", unit="seconds", default=60, bounds=(1, 3600)
    )
    admin_bind = AdminBind("RECEIVER_ADMIN_BIND", port=8005)

    @validates_schema
    def _check_source(self, settings: dict[str, Any], **_more: Any) -> None:
        if settings["bounce_lmtp_bind"] is None and settings["bounce_imap_url"] is None:
            raise ValidationError("neither BOUNCE_LMTP_BIND nor BOUNCE_IMAP_URL is set")
