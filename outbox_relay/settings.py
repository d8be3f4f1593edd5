"""The relay's settings, from its environment."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from outbox_relay.budgets import Budgets
from outbox_relay.rendering import Sender
from outbox_relay.setting_fields import From, ProviderUrls
from shared.secrets import SecretKeys
from shared.settings import (
    Bind,
    DatabaseUrl,
    KeyRing,
    LogLevel,
    SettingsSchema,
    WebUrl,
    Whole,
)
from shared.vocabulary import Channel

LEASE_IN_SENDS = 3
"""A letter is in hand for two sends at most, its own and the one before it; the third is room to wait in."""
LONGEST_KEPT_DAYS = 36_500
MOST_SMS = 1_000_000


@dataclass(frozen=True)
class RelaySettings:
    """All that the relay is told from outside."""

    database_url: str = field(repr=False)
    listen_database_url: str | None = field(repr=False)
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
    upkeep_seconds: int
    retention_days: int
    actions_retention_days: int
    pending_users_days: int
    sms_fallback_per_number: int
    sms_fallback_per_prefix: int
    sms_fallback_total: int
    log_level: str

    @property
    def lease(self) -> timedelta:
        """How long a claimed message is this relay's own."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def poll(self) -> timedelta:
        """How often to look without having been woken."""
        return timedelta(seconds=self.poll_seconds)

    @property
    def longest_send(self) -> timedelta:
        """How long one attempt may take."""
        return timedelta(seconds=self.send_seconds)

    @property
    def longest_in_hand(self) -> timedelta:
        """How long a session may hold a letter: it takes the next one while the last is being sent."""
        return 2 * self.longest_send

    @property
    def connections_for_notices(self) -> int:
        """How many connections to each provider notices have for themselves: half as many, for nobody waits for one."""
        return max(self.connections // 2, 1)

    @property
    def fallback_budgets(self) -> Budgets:
        """How many messages a day may fall back to SMS."""
        return Budgets(self.sms_fallback_total, self.sms_fallback_per_prefix, self.sms_fallback_per_number)


class RelaySettingsSchema(SettingsSchema):
    """How the relay's settings are written."""

    result: ClassVar = RelaySettings

    database_url = DatabaseUrl(
        "DATABASE_URL", "Where the outbox is; log in as a member of signpost_relay.", is_secret=True
    )
    listen_database_url = DatabaseUrl(
        "LISTEN_DATABASE_URL",
        "Where to listen for wake-ups, if DATABASE_URL leads to a pooler: past it, to the server itself."
        " Without it, DATABASE_URL.",
        is_secret=True,
        default=None,
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
        "Most messages claimed at a time; for each channel and urgency, up to twice as many are held.",
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
        "Connections to each provider for codes; notices have half as many beside them, at least one.",
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
    upkeep_seconds = Whole(
        "RELAY_UPKEEP_SECONDS",
        "How often the relay that holds the upkeep lease makes and drops partitions and prunes.",
        unit="seconds",
        default=60,
        bounds=(1, 3600),
    )
    retention_days = Whole(
        "RELAY_RETENTION_DAYS",
        "How long settled messages and their attempts are kept; 0 is for ever.",
        unit="days",
        default=90,
        bounds=(0, LONGEST_KEPT_DAYS),
    )
    actions_retention_days = Whole(
        "RELAY_ACTIONS_RETENTION_DAYS",
        "How long it is kept which operator did what; at least as long as messages are.",
        unit="days",
        default=365,
        bounds=(90, LONGEST_KEPT_DAYS),
    )
    pending_users_days = Whole(
        "RELAY_PENDING_USERS_DAYS",
        "How long users who never activated are kept after their last token has expired; 0 is for ever.",
        unit="days",
        default=30,
        bounds=(0, LONGEST_KEPT_DAYS),
    )
    sms_fallback_per_number = Whole(
        "SMS_FALLBACK_PER_NUMBER",
        "How many messages may fall back to SMS to one number, of all relays together.",
        unit="messages a day (UTC)",
        default=2,
        bounds=(0, MOST_SMS),
    )
    sms_fallback_per_prefix = Whole(
        "SMS_FALLBACK_PER_PREFIX",
        "The same for all numbers of one country prefix.",
        unit="messages a day (UTC)",
        default=50,
        bounds=(0, MOST_SMS),
    )
    sms_fallback_total = Whole(
        "SMS_FALLBACK_TOTAL",
        "The same for all numbers; 0 means none at all.",
        unit="messages a day (UTC)",
        default=100,
        bounds=(0, MOST_SMS),
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
        kept, actions_kept = settings.get("retention_days"), settings.get("actions_retention_days")
        if kept and actions_kept and actions_kept < kept:
            faults.append(f"RELAY_ACTIONS_RETENTION_DAYS={actions_kept} is below RELAY_RETENTION_DAYS={kept}")
        if faults:
            raise ValidationError(faults)
