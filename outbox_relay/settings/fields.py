"""Settings that only the relay has: how their values are read."""

import re
from typing import Any

from marshmallow import ValidationError

from outbox_relay.channels.urls import check_provider_url
from outbox_relay.rendering import parse_dkim_keys, parse_reply_to, parse_sender
from shared.settings import Text
from shared.vocabulary import Channel

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


class ProviderUrls(Text):
    """A channel's providers, comma-separated, in the order in which they are tried."""

    def __init__(self, channel: Channel, name: str, meaning: str, **about: Any) -> None:
        super().__init__(name, meaning, **about)
        self.channel = channel

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> str:
        urls = str(super()._deserialize(value, *rest, **more))
        faults = [str(error) for url in urls.split(",") if (error := self._fault_in(url))]
        if faults:
            raise ValidationError(list(dict.fromkeys(faults)))
        return urls

    def _fault_in(self, url: str) -> ValueError | None:
        try:
            check_provider_url(url, self.channel)
        except ValueError as error:
            return error
        return None


class From(Text):
    """``Name <address>``."""

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        try:
            return parse_sender(str(super()._deserialize(value, *rest, **more)))
        except ValueError as error:
            raise ValidationError(str(error)) from error


class ReplyTo(Text):
    """``Name <address>``, or an address alone."""

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        try:
            return parse_reply_to(str(super()._deserialize(value, *rest, **more)))
        except ValueError as error:
            raise ValidationError(str(error)) from error


class Domain(Text):
    """A domain name; as a value, in lower-case ASCII."""

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> str:
        text = str(super()._deserialize(value, *rest, **more))
        try:
            domain = text.encode("idna").decode().lower()
        except UnicodeError:
            domain = ""
        if not _DOMAIN.fullmatch(domain):
            raise ValidationError("is not a domain name")
        return domain


class Selectors(Text):
    """DKIM selectors, comma-separated; as a value, a tuple of them."""

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        text = str(super()._deserialize(value, *rest, **more))
        selectors = tuple(each.strip().lower() for each in text.split(","))
        if len(set(selectors)) < len(selectors) or not all(map(_SELECTOR.fullmatch, selectors)):
            raise ValidationError("is not a list of different selectors, such as 2026 or rsa2026,ed2026")
        return selectors


class DkimKeys(Text):
    """Private keys in PEM form; their file must be kept from others."""

    def __init__(self, name: str, meaning: str, **about: Any) -> None:
        super().__init__(name, meaning, is_secret=True, **about)
        self.metadata = {**self.metadata, "must_be_private": True}

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        try:
            return parse_dkim_keys(str(super()._deserialize(value, *rest, **more)))
        except ValueError as error:
            raise ValidationError(str(error)) from error
