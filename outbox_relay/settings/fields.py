"""Settings that only the relay has: how their values are read."""

from typing import Any

from marshmallow import ValidationError

from outbox_relay.channels.urls import check_provider_urls
from outbox_relay.rendering import parse_reply_to, parse_sender
from shared.settings import Text
from shared.vocabulary import Channel


class ProviderUrls(Text):
    """A channel's providers, comma-separated, in the order in which they are tried."""

    def __init__(self, channel: Channel, name: str, meaning: str, **about: Any) -> None:
        super().__init__(name, meaning, **about)
        self.channel = channel

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> str:
        urls = str(super()._deserialize(value, *rest, **more))
        try:
            check_provider_urls(urls, self.channel)
        except ValueError as error:
            raise ValidationError(str(error)) from error
        return urls


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
