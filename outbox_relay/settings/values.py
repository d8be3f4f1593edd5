"""All that the relay is told from outside, and what follows from it."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.headerregistry import Address
from pathlib import Path

from outbox_relay.model import Budgets
from outbox_relay.rendering import Brand, Branding, Dkim, DkimKey, Sender, one_tap_domain
from shared.secrets import SecretKeys
from shared.vocabulary import Locale


@dataclass(frozen=True)
class BrandingSettings:
    """All that decides how messages look."""

    public_url: str
    sms_one_tap: bool
    email_from: Sender
    brand_name: str | None
    brand_colour: str
    brand_logo_url: str | None
    support_address: str | None
    brand_footer: str | None
    theme_folder: Path | None
    console_url: str | None

    @property
    def branding(self) -> Branding:
        """How messages look."""
        brand = Brand(
            self.brand_name or self.email_from.name,
            self.brand_colour,
            self.brand_logo_url,
            self.support_address,
            self.brand_footer,
        )
        return Branding(brand, self.theme_folder, self.console_url)

    @property
    def sender(self) -> Sender:
        """Who messages come from."""
        return self.email_from

    @property
    def one_tap_domain(self) -> str | None:
        """The domain that codes in SMS are bound to, or None where they are bound to none."""
        return one_tap_domain(self.public_url) if self.sms_one_tap else None


@dataclass(frozen=True)
class RelaySettings(BrandingSettings):
    """All that the relay is told from outside."""

    database_url: str = field(repr=False)
    listen_database_url: str | None = field(repr=False)
    secret_keys: SecretKeys
    email_providers: str | None = field(repr=False)
    sms_providers: str | None = field(repr=False)
    provision_database_url: str | None = field(repr=False)
    provision_connections: int
    provision_grace_hours: int
    provision_check_seconds: int
    provision_checks_per_minute: int
    reply_to: Address | None
    dkim_domain: str | None
    dkim_selector: tuple[str, ...] | None
    dkim_key: tuple[DkimKey, ...] | None = field(repr=False)
    bind: tuple[str, int]
    batch_size: int
    lease_seconds: int
    poll_seconds: int
    late_seconds: int
    connections: int
    send_seconds: int
    upkeep_seconds: int
    retention_days: int
    actions_retention_days: int
    pending_users_days: int
    sms_fallback_per_number: int
    sms_fallback_per_prefix: int
    sms_fallback_total: int
    operator_addresses: tuple[str, ...] | None = field(repr=False)
    operator_webhook_url: str | None = field(repr=False)
    operator_webhook_key: str | None = field(repr=False)
    operator_locale: Locale
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
    def latest(self) -> timedelta:
        """How long a message may be due before something is wrong."""
        return timedelta(seconds=self.late_seconds)

    @property
    def sender(self) -> Sender:
        """Who messages come from, and where answers go."""
        return replace(self.email_from, reply_to=self.reply_to)

    @property
    def dkim(self) -> Dkim | None:
        """What e-mails are signed with, or None where they are not signed here."""
        if self.dkim_domain is None or self.dkim_selector is None or self.dkim_key is None:
            return None  # one without the others has been refused
        return Dkim(self.dkim_domain, tuple(zip(self.dkim_selector, self.dkim_key, strict=True)))

    @property
    def longest_send(self) -> timedelta:
        """How long one attempt may take."""
        return timedelta(seconds=self.send_seconds)

    @property
    def longest_in_hand(self) -> timedelta:
        """How long a session may hold a letter: it takes the next one while the last is being sent."""
        return 2 * self.longest_send

    @property
    def provision_grace(self) -> timedelta:
        """How long what was half built of an organization is kept."""
        return timedelta(hours=self.provision_grace_hours)

    @property
    def fallback_budgets(self) -> Budgets:
        """How many messages a day may fall back to SMS."""
        return Budgets(self.sms_fallback_total, self.sms_fallback_per_prefix, self.sms_fallback_per_number)
