"""The relay's settings: names, meanings, units, defaults, bounds, and which ones contradict each other."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from email.headerregistry import Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from marshmallow import ValidationError, validates_schema

from outbox_relay.model import Budgets, Scope
from outbox_relay.rendering.branding import (
    DEFAULT_COLOUR,
    Brand,
    Branding,
    Sender,
    colour_from,
    parse_reply_to,
    parse_sender,
)
from outbox_relay.rendering.dkim import Dkim, DkimKey, parse_dkim_keys
from outbox_relay.rendering.sms import one_tap_domain
from outbox_relay.settings.fields import (
    Parsed,
    one_line,
    parse_address,
    parse_addresses,
    parse_bounce_address,
    parse_domain,
    parse_folder,
    parse_https_url,
    parse_selectors,
    parse_web_url,
    parse_webhook_key,
    provider_urls,
    setting,
    settings_of,
)
from shared.reports.return_paths import BounceAddress
from shared.secrets import SecretKeys
from shared.settings import (
    Bind,
    CallbackBaseUrl,
    Choice,
    DatabaseUrl,
    KeyRing,
    LogLevel,
    OrganizationMigrations,
    SettingsSchema,
    Switch,
    WebUrl,
    Whole,
)
from shared.vocabulary import Channel, Locale

if TYPE_CHECKING:
    from tenants.application import ApplicationMigrations

LONGEST_KEPT_DAYS = 36_500
MOST_SMS = 1_000_000

SENDS_PER_LEASE = 3
"""The shortest lease, as a multiple of RELAY_SEND_SECONDS. A session holds a message while it sends the previous one
and while it sends the message itself. The third is a margin."""

CHANNEL_SETTINGS = ("EMAIL_PROVIDERS", "SMS_PROVIDERS", "PROVISION_DATABASE_URL")
DKIM_SETTINGS = ("DKIM_DOMAIN", "DKIM_SELECTOR", "DKIM_KEY")


def _migrations_of(text: str) -> "ApplicationMigrations":
    from tenants.application import migrations_of  # noqa: PLC0415 - an option

    return migrations_of(text)


@dataclass(frozen=True)
class BrandingSettings:
    """The settings that decide what messages look like."""

    public_url: str = setting(WebUrl, "PUBLIC_URL", "The base URL of links in messages.", unit="URL")
    email_from: Sender = setting(Parsed, parse_sender, "EMAIL_FROM", "The sender of e-mails.", unit="`Name <address>`")
    sms_one_tap: bool = setting(
        Switch,
        "SMS_ONE_TAP",
        "Whether SMS with a code end in a line that makes phones offer the code on PUBLIC_URL's pages only.",
        default=False,
    )
    brand_name: str | None = setting(
        Parsed,
        one_line(60),
        "BRAND_NAME",
        "The product's name in messages. Without it, the name in EMAIL_FROM.",
        default=None,
    )
    brand_colour: str = setting(
        Parsed,
        colour_from,
        "BRAND_COLOUR",
        "The colour of buttons and of the line above a mail. Text on it is black if white would be unreadable.",
        unit="#rrggbb",
        default=DEFAULT_COLOUR,
    )
    brand_logo_url: str | None = setting(
        Parsed,
        parse_https_url,
        "BRAND_LOGO_URL",
        "A picture that replaces the brand's name above a mail, 36 pixels high. Few mail readers show SVG.",
        unit="https URL",
        default=None,
    )
    support_address: str | None = setting(
        Parsed,
        parse_address,
        "SUPPORT_ADDRESS",
        "The address for questions, shown in mails.",
        unit="address",
        default=None,
    )
    brand_footer: str | None = setting(
        Parsed,
        one_line(300),
        "BRAND_FOOTER",
        "The last line of each mail, such as a company's name and place.",
        default=None,
    )
    app_url: str | None = setting(
        WebUrl,
        "APP_URL",
        "Where people use your product. The welcome mail links to it.",
        unit="URL",
        default=None,
    )
    theme_folder: Path | None = setting(
        Parsed,
        parse_folder,
        "THEME_FOLDER",
        "Templates that override the default ones, file by file. Read again at SIGHUP.",
        unit="folder",
        default=None,
    )
    console_url: str | None = setting(
        WebUrl, "CONSOLE_URL", "The operator console, linked in digests.", unit="URL", default=None
    )

    @property
    def branding(self) -> Branding:
        """The brand, the theme and the console's URL."""
        brand = Brand(
            self.brand_name or self.email_from.name,
            self.brand_colour,
            self.brand_logo_url,
            self.support_address,
            self.brand_footer,
            self.app_url,
        )
        return Branding(brand, self.theme_folder, self.console_url)

    @property
    def sender(self) -> Sender:
        """The sender of messages."""
        return self.email_from

    @property
    def one_tap_domain(self) -> str | None:
        """The domain that codes in SMS are bound to, or None if they are not."""
        return one_tap_domain(self.public_url) if self.sms_one_tap else None


@dataclass(frozen=True)
class RelaySettings(BrandingSettings):
    """All settings of the relay."""

    database_url: str = setting(
        DatabaseUrl, "DATABASE_URL", "The database of the outbox. Log in as a member of signpost_relay.", is_secret=True
    )
    listen_database_url: str | None = setting(
        DatabaseUrl,
        "LISTEN_DATABASE_URL",
        "The same database without a connection pooler, to listen for notifications. Without it, DATABASE_URL.",
        is_secret=True,
        default=None,
    )
    secret_keys: SecretKeys = setting(
        KeyRing,
        "SECRET_KEYS",
        "`id:base64,id:base64`. The first derives, all verify. The same as the API's.",
        is_secret=True,
    )
    email_providers: str | None = setting(
        Parsed,
        provider_urls(Channel.EMAIL),
        "EMAIL_PROVIDERS",
        "Tried in order: `smtp://user:pw@host:587?tls=starttls`, `smtps://…`, `sendgrid://key@api.sendgrid.com`, `ses://…`"
        " and other HTTPS APIs, `https+mime://token@host/path`, `console:`, `file:///directory`, or the scheme of"
        " another package. Without it, e-mails wait for a relay that has it.",
        unit="URLs, comma-separated",
        is_secret=True,
        default=None,
    )
    sms_providers: str | None = setting(
        Parsed,
        provider_urls(Channel.SMS),
        "SMS_PROVIDERS",
        "Tried in order: `https+json://token@host/path`, `twilio://sid:token@api.twilio.com?from=+1…`,"
        " `kannel://user:pw@host:13013?from=…`, `smpp://user:pw@host:3550?from=…`, `console:`, `file:///directory`,"
        " or the scheme of another package. Without it, SMS wait for a relay that has it.",
        unit="URLs, comma-separated",
        is_secret=True,
        default=None,
    )
    provision_database_url: str | None = setting(
        DatabaseUrl,
        "PROVISION_DATABASE_URL",
        "The server for the databases of organizations, without a connection pooler. Log in as a role that may"
        " create databases. Without it, organizations wait for a relay that has it.",
        is_secret=True,
        default=None,
    )
    organization_migrations: "ApplicationMigrations | None" = setting(OrganizationMigrations, _migrations_of)
    organization_keys: SecretKeys | None = setting(
        KeyRing,
        "ORGANIZATION_KEYS",
        "`id:base64,id:base64`, newest first: organizations' passwords are derived from them. Without them, from"
        " SECRET_KEYS, which the console must not have.",
        is_secret=True,
        default=None,
    )
    provision_connections: int = setting(
        Whole,
        "PROVISION_CONNECTIONS",
        "The most connections of this relay to that server. An organization takes two while it is created.",
        unit="connections",
        default=8,
        bounds=(2, 200),
    )
    provision_grace_hours: int = setting(
        Whole,
        "PROVISION_GRACE_HOURS",
        "How long the incomplete database of a failed organization is kept before it is dropped.",
        unit="hours",
        default=24,
        bounds=(0, 8760),
    )
    provision_check_seconds: int = setting(
        Whole,
        "PROVISION_CHECK_SECONDS",
        "The interval between health checks of an organization's database. An alarm expects one every half hour.",
        unit="seconds",
        default=900,
        bounds=(30, 1_800),
    )
    provision_checks_per_minute: int = setting(
        Whole,
        "PROVISION_CHECKS_PER_MINUTE",
        "The most health checks of organizations' databases per minute, by this relay.",
        unit="databases",
        default=600,
        bounds=(12, 60_000),
    )
    reply_to: Address | None = setting(
        Parsed,
        parse_reply_to,
        "REPLY_TO",
        "Where replies to e-mails go. Without it, to the address in EMAIL_FROM.",
        unit="`Name <address>` or address",
        default=None,
    )
    bounce_address: str | None = setting(
        Parsed,
        parse_bounce_address,
        "BOUNCE_ADDRESS",
        "Where bounces go. Each e-mail has an envelope sender of its own, such as `bounces+ID.TAG.MAC@example.org`,"
        " so that its bounce names it. Without it, the address in EMAIL_FROM.",
        unit="address",
        default=None,
    )
    dkim_domain: str | None = setting(
        Parsed,
        parse_domain,
        "DKIM_DOMAIN",
        "The domain that signs e-mails: that of EMAIL_FROM, a parent or a subdomain of it. Without it, the relay"
        " does not sign.",
        unit="domain",
        default=None,
    )
    dkim_selector: tuple[str, ...] | None = setting(
        Parsed,
        parse_selectors,
        "DKIM_SELECTOR",
        "Where the public keys are published: `SELECTOR._domainkey.DKIM_DOMAIN`. One for each key, in the same order.",
        unit="names, comma-separated",
        default=None,
    )
    dkim_key: tuple[DkimKey, ...] | None = setting(
        Parsed,
        parse_dkim_keys,
        "DKIM_KEY",
        "The private key in PEM form, RSA of 2048 to 4096 bits or Ed25519, or several one after the other. Its file"
        " must not be world-readable.",
        is_secret=True,
        must_be_private=True,
        default=None,
    )
    feedback_keys: SecretKeys | None = setting(
        KeyRing,
        "FEEDBACK_KEYS",
        "`id:base64,id:base64`. They authenticate the addresses that bounces and callbacks come back to. The first"
        " makes new addresses, all verify. The same for relays and receivers.",
        is_secret=True,
        default=None,
    )
    callback_url: str | None = setting(
        CallbackBaseUrl,
        "CALLBACK_URL",
        "The address at which SMS gateways reach the receiver of callbacks: https, unless they are on this machine."
        " The same for relays and receivers. Without it, the relay asks Twilio, Kannel and JSON gateways for no"
        " receipts.",
        unit="URL",
        default=None,
    )
    bind: tuple[str, int] = setting(
        Bind,
        "RELAY_BIND",
        "The address of /livez, /readyz and /metrics.",
        unit="host:port",
        default=("127.0.0.1", 8002),
    )
    batch_size: int = setting(
        Whole,
        "RELAY_BATCH_SIZE",
        "The most messages in one claim. For each channel and priority, the relay holds up to twice as many.",
        unit="messages",
        default=500,
        bounds=(1, 5000),
    )
    lease_seconds: int = setting(
        Whole,
        "RELAY_LEASE_SECONDS",
        "How long a claimed message belongs to this relay.",
        unit="seconds",
        default=60,
        bounds=(2, 3600),
    )
    poll_seconds: int = setting(
        Whole,
        "RELAY_POLL_SECONDS",
        "How often to poll without a notification.",
        unit="seconds",
        default=5,
        bounds=(1, 300),
    )
    late_seconds: int = setting(
        Whole,
        "RELAY_LATE_SECONDS",
        "How long a message may be due, or a provider down, before operators are notified. /readyz then fails,"
        " unless providers, their rates or a pause keep the message back.",
        unit="seconds",
        default=300,
        bounds=(1, 86_400),
    )
    connections: int = setting(
        Whole,
        "RELAY_CONNECTIONS",
        "Connections to each provider whose URL has no `connections`. Notices may use half of them.",
        unit="connections",
        default=8,
        bounds=(1, 200),
    )
    send_seconds: int = setting(
        Whole,
        "RELAY_SEND_SECONDS",
        "How long one attempt may take, at most a third of the lease.",
        unit="seconds",
        default=20,
        bounds=(1, 1800),
    )
    maintenance_seconds: int = setting(
        Whole,
        "RELAY_MAINTENANCE_SECONDS",
        "How often the relay that holds the leader lease runs it. A step that has no work left is skipped in the next"
        " four runs.",
        unit="seconds",
        default=60,
        bounds=(1, 3600),
    )
    retention_days: int = setting(
        Whole,
        "RELAY_RETENTION_DAYS",
        "How long settled messages and their attempts are kept, plus up to six days, since whole weeks are dropped."
        " 0 means forever. Erasing a user finds messages to former addresses only if this is longer than"
        " RELAY_PENDING_USERS_DAYS.",
        unit="days",
        default=90,
        bounds=(0, LONGEST_KEPT_DAYS),
    )
    actions_retention_days: int = setting(
        Whole,
        "RELAY_ACTIONS_RETENTION_DAYS",
        "How long the audit log of operators' actions is kept, at least as long as messages.",
        unit="days",
        default=365,
        bounds=(90, LONGEST_KEPT_DAYS),
    )
    pending_users_days: int = setting(
        Whole,
        "RELAY_PENDING_USERS_DAYS",
        "How long users who never activated are kept after their last token has expired, and failed organizations"
        " after their last user and their database are gone. 0 means forever.",
        unit="days",
        default=30,
        bounds=(0, LONGEST_KEPT_DAYS),
    )
    sms_fallback_per_number: int = setting(
        Whole,
        "SMS_FALLBACK_PER_NUMBER",
        "The most fallbacks to SMS per number, of all relays together.",
        unit="messages a day (UTC)",
        default=2,
        bounds=(0, MOST_SMS),
    )
    sms_fallback_per_prefix: int = setting(
        Whole,
        "SMS_FALLBACK_PER_PREFIX",
        "The same per country prefix.",
        unit="messages a day (UTC)",
        default=50,
        bounds=(0, MOST_SMS),
    )
    sms_fallback_total: int = setting(
        Whole,
        "SMS_FALLBACK_TOTAL",
        "The same for all numbers. 0 means no fallback to SMS.",
        unit="messages a day (UTC)",
        default=100,
        bounds=(0, MOST_SMS),
    )
    operator_addresses: tuple[str, ...] | None = setting(
        Parsed,
        parse_addresses,
        "OPERATOR_ADDRESSES",
        "The recipients of digests when messages die or are late, or a provider stays down.",
        unit="addresses, comma-separated",
        default=None,
        is_private=True,
    )
    operator_webhook_url: str | None = setting(
        Parsed,
        parse_web_url,
        "OPERATOR_WEBHOOK_URL",
        "A webhook that also gets each digest as JSON, in case e-mail fails.",
        unit="URL",
        is_secret=True,
        default=None,
    )
    operator_webhook_key: str | None = setting(
        Parsed,
        parse_webhook_key,
        "OPERATOR_WEBHOOK_KEY",
        'Signs posted digests: `Signpost-Signature: t=SECONDS,v1=HMAC-SHA256 of "SECONDS.BODY"`. Without it, they'
        " are not signed.",
        is_secret=True,
        default=None,
    )
    operator_locale: Locale = setting(
        Choice,
        Locale,
        "OPERATOR_LOCALE",
        "The language of digests by mail.",
        unit=" or ".join(f"`{locale}`" for locale in Locale),
        default=Locale.EN,
    )
    log_level: str = setting(LogLevel)

    @property
    def lease(self) -> timedelta:
        """How long a claimed message belongs to this relay."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def poll(self) -> timedelta:
        """How often to poll without a notification."""
        return timedelta(seconds=self.poll_seconds)

    @property
    def latest(self) -> timedelta:
        """How long a message may be due before operators are notified."""
        return timedelta(seconds=self.late_seconds)

    @property
    def sender(self) -> Sender:
        """The sender of messages, and where replies go."""
        return replace(self.email_from, reply_to=self.reply_to)

    @property
    def dkim(self) -> Dkim | None:
        """The DKIM domain and keys, or None if the relay does not sign."""
        if self.dkim_domain is None or self.dkim_selector is None or self.dkim_key is None:
            return None  # the schema rejects one alone
        return Dkim(self.dkim_domain, tuple(zip(self.dkim_selector, self.dkim_key, strict=True)))

    @property
    def bounces(self) -> BounceAddress | None:
        """The address that bounces go to, or None if they go to the sender."""
        if self.bounce_address is None or self.feedback_keys is None:
            return None  # the schema rejects an address without keys
        return BounceAddress(self.bounce_address, self.feedback_keys[self.feedback_keys.newest_id])

    @property
    def longest_send(self) -> timedelta:
        """How long one attempt may take."""
        return timedelta(seconds=self.send_seconds)

    @property
    def longest_hold(self) -> timedelta:
        """How long a session may hold a message: twice the limit of a send.

        It takes a message while it still sends the previous one.
        """
        return 2 * self.longest_send

    @property
    def provision_grace(self) -> timedelta:
        """How long the incomplete database of a failed organization is kept."""
        return timedelta(hours=self.provision_grace_hours)

    @property
    def fallback_budgets(self) -> Budgets:
        """How many messages a day may fall back to SMS."""
        return {
            Scope.TOTAL: self.sms_fallback_total,
            Scope.PREFIX: self.sms_fallback_per_prefix,
            Scope.NUMBER: self.sms_fallback_per_number,
        }


class PreviewSettingsSchema(SettingsSchema):
    """Reads what a preview of messages needs: no database and no key, and each setting has a default."""

    result: ClassVar = BrandingSettings

    class Meta:
        """The settings."""

        include: ClassVar = settings_of(BrandingSettings) | {
            "public_url": WebUrl(
                "PUBLIC_URL", "The base URL of links in messages.", default="https://signpost.example"
            ),
            "email_from": Parsed(
                parse_sender,
                "EMAIL_FROM",
                "The sender of e-mails.",
                default=Sender("Signpost", "no-reply@signpost.example"),
            ),
        }


class RelaySettingsSchema(SettingsSchema):
    """Reads the relay's settings."""

    result: ClassVar = RelaySettings
    prefix: ClassVar = "RELAY_"

    class Meta:
        """The settings."""

        include: ClassVar = settings_of(RelaySettings)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _check_contradictions(self, settings: dict[str, Any], written: dict[str, str], **_more: Any) -> None:
        if errors := contradictions(settings, written.keys()):
            raise ValidationError(errors)


def contradictions(settings: Mapping[str, Any], written: Collection[str]) -> list[str]:
    """Return one line per contradiction.

    ``settings`` has the valid settings, ``written`` the names of all given ones.
    """
    errors = []
    if not {*CHANNEL_SETTINGS} & set(written):
        names = f"{', '.join(CHANNEL_SETTINGS[:-1])} and {CHANNEL_SETTINGS[-1]}"
        errors.append(f"{names} are all not set: there is nothing to deliver through")
    lease, send = settings.get("lease_seconds"), settings.get("send_seconds")
    if lease and send and lease < SENDS_PER_LEASE * send:
        errors.append(f"RELAY_LEASE_SECONDS={lease} is below three times RELAY_SEND_SECONDS={send}")
    kept, actions_kept = settings.get("retention_days"), settings.get("actions_retention_days")
    if kept and actions_kept and actions_kept < kept:
        errors.append(f"RELAY_ACTIONS_RETENTION_DAYS={actions_kept} is below RELAY_RETENTION_DAYS={kept}")
    if "OPERATOR_WEBHOOK_KEY" in written and "OPERATOR_WEBHOOK_URL" not in written:
        errors.append("OPERATOR_WEBHOOK_KEY is set and OPERATOR_WEBHOOK_URL is not: there is nothing to sign")
    if "CALLBACK_URL" in written and "FEEDBACK_KEYS" not in written:
        errors.append("CALLBACK_URL is set and FEEDBACK_KEYS is not: nothing would authenticate the callbacks")
    if "BOUNCE_ADDRESS" in written and "FEEDBACK_KEYS" not in written:
        errors.append("BOUNCE_ADDRESS is set and FEEDBACK_KEYS is not: bounces could not be verified")
    return errors + _one_tap_contradictions(settings) + _dkim_contradictions(settings, written)


def _one_tap_contradictions(settings: Mapping[str, Any]) -> list[str]:
    public_url = settings.get("public_url")
    if not settings.get("sms_one_tap") or public_url is None:
        return []
    try:
        one_tap_domain(public_url)
    except ValueError as error:
        return [f"SMS_ONE_TAP=on {error}"]
    return []


def _dkim_contradictions(settings: Mapping[str, Any], written: Collection[str]) -> list[str]:
    missing = [name for name in DKIM_SETTINGS if name not in written]
    if len(missing) == len(DKIM_SETTINGS):
        return []
    if missing:
        return [f"DKIM_DOMAIN, DKIM_SELECTOR and DKIM_KEY go together: {' and '.join(missing)} not set"]
    errors = []
    domain, sender = settings.get("dkim_domain"), settings.get("email_from")
    if domain and sender and not _is_aligned(domain, sender.domain.lower()):
        errors.append(f"DKIM_DOMAIN={domain!r} is neither the domain of EMAIL_FROM nor one above or below it")
    selectors, keys = settings.get("dkim_selector"), settings.get("dkim_key")
    if selectors and keys and len(selectors) != len(keys):
        errors.append(f"DKIM_SELECTOR has {len(selectors)} names, and DKIM_KEY {len(keys)} keys")
    return errors


def _is_aligned(domain: str, sender_domain: str) -> bool:
    """Return whether one domain contains the other.

    In this case, most receivers treat both as one domain (RFC 7489 §3.1.1). Two subdomains of the same domain are not
    accepted, because only a list of public suffixes could decide.
    """
    return f".{domain}".endswith(f".{sender_domain}") or f".{sender_domain}".endswith(f".{domain}")
