"""How settings that only the relay has are parsed. Each function raises ValueError with a predicate ("is not …")."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

from marshmallow import ValidationError, fields

from outbox_relay.channels.urls import check_provider_url
from shared.addresses import InvalidAddressError, ascii_email, deliverable_email
from shared.reports.return_paths import LONGEST_BASE_LOCAL_PART
from shared.settings import Text
from shared.urls import is_web_url
from shared.vocabulary import Channel

P = ParamSpec("P")

MOST_ADDRESSES = 20
SHORTEST_KEY = 16

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def setting(kind: Callable[P, fields.Field[Any]], *args: P.args, **about: P.kwargs) -> Any:
    """Declare a setting as a field of a frozen dataclass. Secret and private ones do not appear in its repr."""
    declaration = kind(*args, **about)
    is_shown = not (declaration.metadata["is_secret"] or declaration.metadata.get("is_private"))
    return dataclasses.field(metadata={"setting": declaration}, repr=is_shown)


def settings_of(kind: type) -> dict[str, fields.Field[Any]]:
    """Return the settings declared in a dataclass: its own first, then the inherited ones."""
    own = vars(kind)["__annotations__"]
    declared = sorted(dataclasses.fields(kind), key=lambda field: field.name not in own)
    return {field.name: field.metadata["setting"] for field in declared}


class Parsed(Text):
    """A text that ``parse`` turns into a value.

    With ``must_be_private``, its file must not be world-readable. With ``is_private``, the value must not be shown.
    """

    def __init__(
        self,
        parse: Callable[[str], Any],
        name: str,
        meaning: str,
        *,
        must_be_private: bool = False,
        is_private: bool = False,
        **about: Any,
    ) -> None:
        super().__init__(name, meaning, **about)
        self.metadata = {**self.metadata, "must_be_private": must_be_private, "is_private": is_private}
        self._parse = parse

    def parse(self, text: str) -> Any:
        """Return the value."""
        return self._parse(text)


def provider_urls(channel: Channel) -> Callable[[str], str]:
    """Return a check of comma-separated provider URLs. It raises ValidationError with the errors of all URLs."""

    def parse(text: str) -> str:
        errors = []
        for url in text.split(","):
            try:
                check_provider_url(url, channel)
            except ValueError as error:
                errors.append(str(error))
        if errors:
            raise ValidationError(list(dict.fromkeys(errors)))
        return text

    return parse


def parse_domain(text: str) -> str:
    """Return a domain name in lower-case ASCII."""
    try:
        domain = text.encode("idna").decode().lower()
    except UnicodeError:
        domain = ""
    if not _DOMAIN.fullmatch(domain):
        raise ValueError("is not a domain name")
    return domain


def parse_selectors(text: str) -> tuple[str, ...]:
    """Split comma-separated DKIM selectors."""
    selectors = tuple(each.strip().lower() for each in text.split(","))
    if len(set(selectors)) < len(selectors) or not all(map(_SELECTOR.fullmatch, selectors)):
        raise ValueError("is not a list of different selectors, such as 2026 or rsa2026,ed2026")
    return selectors


def one_line(longest: int) -> Callable[[str], str]:
    """Return a parser of one line of at most ``longest`` characters."""

    def parse(text: str) -> str:
        line = text.strip()
        if not line or not line.isprintable() or len(line) > longest:
            raise ValueError(f"is not one line of at most {longest} characters")
        return line

    return parse


def parse_https_url(text: str) -> str:
    """Check an https URL."""
    if not is_web_url(text, ("https",)):
        raise ValueError("is not an https URL")
    return text


def parse_web_url(text: str) -> str:
    """Check an http or https URL, with any query."""
    if not is_web_url(text):
        raise ValueError("is not an http or https URL")
    return text


def parse_address(text: str) -> str:
    """Check an e-mail address."""
    try:
        return deliverable_email(text)
    except InvalidAddressError as error:
        raise ValueError("is not an e-mail address") from error


def parse_bounce_address(text: str) -> str:
    """Check an e-mail address whose local part leaves room for the id of a message."""
    try:
        address = ascii_email(text)
    except InvalidAddressError as error:
        raise ValueError("is not an e-mail address in ASCII") from error
    local, _, _ = address.rpartition("@")
    if len(local) > LONGEST_BASE_LOCAL_PART:
        raise ValueError(f"has more than {LONGEST_BASE_LOCAL_PART} characters before the @")
    return address


def parse_addresses(text: str) -> tuple[str, ...]:
    """Split comma-separated e-mail addresses."""
    try:
        addresses = tuple(dict.fromkeys(deliverable_email(each.strip()) for each in text.split(",")))
    except InvalidAddressError as error:
        raise ValueError("is not a list of e-mail addresses") from error
    if len(addresses) > MOST_ADDRESSES:
        raise ValueError(f"has more than {MOST_ADDRESSES} addresses")
    return addresses


def parse_folder(text: str) -> Path:
    """Check that a folder exists."""
    folder = Path(text)
    if not folder.is_dir():
        raise ValueError("is not a folder")
    return folder


def parse_webhook_key(text: str) -> str:
    """Check the length of a signing key."""
    if len(text) < SHORTEST_KEY:
        raise ValueError(f"has fewer than {SHORTEST_KEY} characters")
    return text
