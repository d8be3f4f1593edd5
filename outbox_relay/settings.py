"""The relay's settings, from its environment."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from outbox_relay.channels.urls import check_provider_urls
from outbox_relay.rendering import Sender, parse_sender
from shared.secrets import SecretKeys
from shared.settings import (
    Bind,
    DatabaseUrl,
    KeyRing,
    LogLevel,
    SettingsSchema,
    Text,
    WebUrl,
    Whole,
)
from shared.vocabulary import Channel

LEASE_IN_SENDS = 3
"""A letter is in hand for two sends at most, its own and the one before it; the third is room to wait in."""


@dataclass(frozen=True)
class RelaySettings:
    """All that the relay is told from outside."""

    database_url: str = field(repr=False)
    secret_keys: SecretKeys
    public_url: str
    email_providers: str | None = field(repr=False)
    sms_providers: str | None = field(repr=False)
    email_from: Sender
    bind: tuple[str, int]
    batch_size: int
    lease_seconds: int
    poll_seconds: int
    connections: int
    send_seconds: int
    log_level: str

    @property
    def lease(self) -> timedelta:
        """How long a claimed message is this relay's own."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def longest_send(self) -> timedelta:
        """How long one attempt may take."""
        return timedelta(seconds=self.send_seconds)

    @property
    def longest_in_hand(self) -> timedelta:
        """How long a session may hold a letter: it takes the next one while the last is being sent."""
        return 2 * self.longest_send


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


class RelaySettingsSchema(SettingsSchema):
    """How the relay's settings are written."""

    result: ClassVar = RelaySettings

    database_url = DatabaseUrl(
        "DATABASE_URL", "Where the outbox is; log in as a member of signpost_relay.", is_secret=True
    )
    secret_keys = KeyRing(
        "SECRET_KEYS", "`id:base64,id:base64`; the first derives, all verify. The same as the API's.", is_secret=True
    )
    public_url = WebUrl("PUBLIC_URL", "What links in messages begin with.", unit="URL")
    email_providers = ProviderUrls(
        Channel.EMAIL,
        "EMAIL_PROVIDERS",
        "Tried in order: `smtp://user:pw@host:587?tls=starttls`, `smtps://…`, `console:`, `file:///directory`."
        " Without it, e-mails wait for a relay that has it.",
        unit="URLs, comma-separated",
        is_secret=True,
        default=None,
    )
    sms_providers = ProviderUrls(
        Channel.SMS,
        "SMS_PROVIDERS",
        "Tried in order: `https+json://token@host/path`, `console:`, `file:///directory`."
        " Without it, SMS wait for a relay that has it.",
        unit="URLs, comma-separated",
        is_secret=True,
        default=None,
    )
    email_from = From("EMAIL_FROM", "Who e-mails come from; its name is what SMS begin with.", unit="`Name <address>`")
    bind = Bind(
        "RELAY_BIND", "Where /livez, /readyz and /metrics are served.", unit="host:port", default=("127.0.0.1", 8002)
    )
    batch_size = Whole(
        "RELAY_BATCH_SIZE",
        "Most messages claimed at a time; up to twice as many are held.",
        unit="messages",
        default=500,
        bounds=(1, 5000),
    )
    lease_seconds = Whole(
        "RELAY_LEASE_SECONDS",
        "How long a claimed message is this relay's own.",
        unit="seconds",
        default=60,
        bounds=(2, 3600),
    )
    poll_seconds = Whole(
        "RELAY_POLL_SECONDS", "How often to look without having been woken.", unit="seconds", default=5, bounds=(1, 300)
    )
    connections = Whole(
        "RELAY_CONNECTIONS",
        "Connections to each provider whose URL does not say.",
        unit="connections",
        default=8,
        bounds=(1, 200),
    )
    send_seconds = Whole(
        "RELAY_SEND_SECONDS",
        "How long one attempt may take; at most a third of the lease.",
        unit="seconds",
        default=20,
        bounds=(1, 1800),
    )
    log_level = LogLevel()

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _fits_together(self, settings: dict[str, Any], written: dict[str, str], **_more: Any) -> None:
        faults = []
        if not {"EMAIL_PROVIDERS", "SMS_PROVIDERS"} & written.keys():
            faults.append("EMAIL_PROVIDERS and SMS_PROVIDERS are both not set: there is nothing to deliver through")
        lease, send = settings.get("lease_seconds"), settings.get("send_seconds")
        if lease and send and lease < LEASE_IN_SENDS * send:
            faults.append(f"RELAY_LEASE_SECONDS={lease} is below three times RELAY_SEND_SECONDS={send}")
        if faults:
            raise ValidationError(faults)
