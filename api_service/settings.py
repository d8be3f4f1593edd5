"""The settings of the API and of ``migrate``, read from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar
from urllib.parse import urlsplit

from marshmallow import ValidationError, post_load, validates_schema

from api_service.rate_limits import MOST_HITS, RULES, Limit, Windows
from shared.addresses import PHONE_REGIONS
from shared.host import cpu_count
from shared.profiles import ProfileSchema, read_profile_schema
from shared.secrets import SecretKeys
from shared.settings import (
    AdminBind,
    Bind,
    Choice,
    DatabaseUrl,
    FileContent,
    KeyRing,
    LogLevel,
    SettingsSchema,
    Switch,
    Text,
    WebUrl,
    Whole,
)
from shared.urls import is_web_url
from shared.vocabulary import Channel

MAX_EMAIL_LIFETIME_SECONDS = 72 * 3600
MAX_ACCOUNT_CODE_SECONDS = 3600
MAX_SMS_LIFETIME_SECONDS = 600
"""OWASP ASVS 5.0 §6.5.5: an out-of-band code is valid for at most ten minutes."""


class RateLimits(Text):
    """``5/hour``, ``5/5 minutes``, ``5/hour; 20/day`` or ``none``."""

    def __init__(self, limit: Limit) -> None:
        rule = RULES[limit]
        super().__init__(f"LIMIT_{limit.name}", rule.meaning, unit="number/time", default=Windows.read(rule.default))

    def parse(self, text: str) -> Windows:
        """Return the windows."""
        try:
            return Windows.read(text)
        except ValueError:
            raise ValueError(f"is not such as 5/hour, 5/5 minutes or none; 1 to {MOST_HITS} at a time") from None


class Origins(Text):
    """Comma-separated origins as browsers send them: scheme, host, and a port unless it is the default."""

    def __init__(self, name: str, meaning: str) -> None:
        super().__init__(name, meaning, unit="origins, comma-separated", default=None)

    def deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        """Return the set of origins; empty if the setting is missing."""
        return super().deserialize(value, *rest, **more) or frozenset()

    def parse(self, text: str) -> frozenset[str]:
        """Return the origins."""
        origins = [origin.strip() for origin in text.split(",")]
        if not all(map(_is_origin, origins)):
            raise ValueError("is not a list of origins such as https://app.example.org")
        return frozenset(origins)


def _is_origin(text: str) -> bool:
    if not is_web_url(text):
        return False
    parts = urlsplit(text)
    return text == f"{parts.scheme}://{parts.netloc}".lower()


class PhoneRegion(Text):
    """The ISO 3166-1 alpha-2 code of a country with phone numbers. Case is ignored."""

    def parse(self, text: str) -> str:
        """Return the code in capital letters."""
        if text.upper() not in PHONE_REGIONS:
            raise ValueError("is not the ISO 3166-1 alpha-2 code of a country with phone numbers, such as CM or GB")
        return text.upper()


class ActivationFallback(StrEnum):
    """Which channel may take over from which."""

    NONE = "none"
    SMS = "sms"
    EMAIL = "email"
    BOTH = "both"

    @property
    def channels(self) -> Mapping[Channel, Channel]:
        """The fallback channel by the channel that it replaces."""
        fallbacks = {Channel.EMAIL: Channel.SMS, Channel.SMS: Channel.EMAIL}
        return {
            channel: fallback
            for channel, fallback in fallbacks.items()
            if self in (ActivationFallback.BOTH, ActivationFallback(fallback))
        }


class UnconfirmedAccess(StrEnum):
    """What a registrant may do before the activation."""

    OFF = "off"
    LIMITED = "limited"


class Founding(StrEnum):
    """When the database of a registration's organization is created, if registrations may found any."""

    OFF = "off"
    AFTER_ACTIVATION = "after_activation"
    BEFORE_ACTIVATION = "before_activation"


@dataclass(frozen=True)
class ApiSettings:
    """All settings of the API."""

    database_url: str = field(repr=False)
    secret_keys: SecretKeys
    public_url: str
    bind: tuple[str, int]
    admin_bind: tuple[str, int]
    trusted_proxies: int
    cors_origins: frozenset[str]
    workers: int
    threads: int
    phone_default_region: str | None
    activation_email_lifetime_seconds: int
    activation_sms_lifetime_seconds: int
    code_attempts: int
    account_code_email_lifetime_seconds: int
    account_code_sms_lifetime_seconds: int
    resend_cooldown_seconds: int
    activation_fallback: ActivationFallback
    activation_fallback_seconds: int
    access_token_lifetime_seconds: int
    session_idle_days: int
    session_lifetime_days: int
    profile_schema: ProfileSchema | None
    unconfirmed_access: UnconfirmedAccess
    organizations: Founding
    invitation_lifetime_seconds: int
    limits: Mapping[Limit, Windows]
    log_level: str

    @property
    def database_connections(self) -> int:
        """The most connections of each process. A request that waits for a hash or a message needs none."""
        return max(4, self.threads // 2)

    @property
    def lifetimes(self) -> Mapping[Channel, timedelta]:
        """How long an activation token is valid, by channel."""
        return {
            Channel.EMAIL: timedelta(seconds=self.activation_email_lifetime_seconds),
            Channel.SMS: timedelta(seconds=self.activation_sms_lifetime_seconds),
        }

    @property
    def account_code_lifetimes(self) -> Mapping[Channel, timedelta]:
        """How long a code for a new address is valid, by channel."""
        return {
            Channel.EMAIL: timedelta(seconds=self.account_code_email_lifetime_seconds),
            Channel.SMS: timedelta(seconds=self.account_code_sms_lifetime_seconds),
        }

    @property
    def reset_code_lifetimes(self) -> Mapping[Channel, timedelta]:
        """How long a code for a password reset is valid, by channel.

        A fallback repeats the code, so it is valid no longer than codes of the fallback channel are. This holds for
        every account: if only a fallback shortened it, its end would reveal that the account has another address.
        """
        lifetimes, fallbacks = self.account_code_lifetimes, self.activation_fallback.channels
        return {channel: min(lifetimes[channel], lifetimes[fallbacks.get(channel, channel)]) for channel in Channel}


class ApiSettingsSchema(SettingsSchema):
    """The settings of the API."""

    result: ClassVar = ApiSettings
    prefix: ClassVar = "API_"

    class Meta:
        """The rate limits, whose rules declare them."""

        include: ClassVar = {limit.value: RateLimits(limit) for limit in Limit}

    database_url = DatabaseUrl(
        "DATABASE_URL", "The database of users and the outbox; log in as a member of signpost_api.", is_secret=True
    )
    secret_keys = KeyRing(
        "SECRET_KEYS", "`id:base64,id:base64`; the first derives, all verify. The same as the relay's.", is_secret=True
    )
    public_url = WebUrl(
        "PUBLIC_URL",
        "The address of the API for clients, also the issuer and audience of access tokens. With https, "
        "responses carry HSTS. The relay needs the same address.",
        unit="URL",
    )
    bind = Bind(
        "API_BIND",
        "The address and port to listen on. A socket of systemd replaces it.",
        unit="host:port",
        default=("127.0.0.1", 8000),
    )
    admin_bind = AdminBind("API_ADMIN_BIND", port=8003)
    trusted_proxies = Whole(
        "TRUSTED_PROXIES",
        "How many trusted proxies append to X-Forwarded-For; other entries are ignored.",
        unit="proxies",
        default=0,
        bounds=(0, 16),
    )
    cors_origins = Origins(
        "CORS_ORIGINS", "Origins whose pages may call the API from a browser, such as `https://app.example.org`."
    )
    workers = Whole(
        "API_WORKERS",
        "Worker processes; by default one per CPU.",
        unit="processes",
        default=cpu_count,
        bounds=(1, 256),
    )
    threads = Whole(
        "API_THREADS",
        "Threads of each process. Three eighths may serve sign-ins, half other requests with a password, "
        "and an eighth may wait for `Prefer: wait`. A process opens half as many database connections.",
        unit="threads",
        default=16,
        bounds=(4, 256),
    )
    phone_default_region = PhoneRegion(
        "PHONE_DEFAULT_REGION",
        "The country whose phone numbers users may give without country code, such as `CM`. Without it, each number"
        " needs its country code.",
        unit="ISO 3166-1 alpha-2",
        default=None,
    )
    activation_email_lifetime_seconds = Whole(
        "ACTIVATION_EMAIL_LIFETIME_SECONDS",
        "How long the code and the link in an e-mail are valid.",
        unit="seconds",
        default=86_400,
        bounds=(60, MAX_EMAIL_LIFETIME_SECONDS),
    )
    activation_sms_lifetime_seconds = Whole(
        "ACTIVATION_SMS_LIFETIME_SECONDS",
        "How long the code in an SMS is valid.",
        unit="seconds",
        default=600,
        bounds=(60, MAX_SMS_LIFETIME_SECONDS),
    )
    code_attempts = Whole(
        "CODE_ATTEMPTS",
        "How often a code may be tried: for an activation, a reset or a new address. A code that an operator's requeue"
        " or correction renews may always be tried five times.",
        unit="attempts",
        default=5,
        bounds=(1, 20),
    )
    account_code_email_lifetime_seconds = Whole(
        "ACCOUNT_CODE_EMAIL_LIFETIME_SECONDS",
        "How long a code in an e-mail is valid that resets a password or proves a new address. If a reset may fall"
        " back to SMS, ACCOUNT_CODE_SMS_LIFETIME_SECONDS limits its code, too.",
        unit="seconds",
        default=900,
        bounds=(60, MAX_ACCOUNT_CODE_SECONDS),
    )
    account_code_sms_lifetime_seconds = Whole(
        "ACCOUNT_CODE_SMS_LIFETIME_SECONDS",
        "The same for a code in an SMS.",
        unit="seconds",
        default=600,
        bounds=(60, MAX_SMS_LIFETIME_SECONDS),
    )
    resend_cooldown_seconds = Whole(
        "RESEND_COOLDOWN_SECONDS",
        "The minimum age of the newest message before another is sent.",
        unit="seconds",
        default=60,
        bounds=(0, 3600),
    )
    activation_fallback = Choice(
        ActivationFallback,
        "ACTIVATION_FALLBACK",
        "Which channel may take over the code of a registration with both addresses, or of a password reset if the"
        " account has both proven: `sms` from e-mail, `email` from SMS, `both`, or `none`.",
        unit="channel",
        default=ActivationFallback.NONE,
    )
    activation_fallback_seconds = Whole(
        "ACTIVATION_FALLBACK_SECONDS",
        "How long a message waits for a provider before the other channel takes over; at once if it is rejected. A"
        " reset's code that expires earlier falls back only if it is rejected.",
        unit="seconds",
        default=120,
        bounds=(10, 86_400),
    )
    access_token_lifetime_seconds = Whole(
        "ACCESS_TOKEN_LIFETIME_SECONDS",
        "How long an access token is valid before its session must be refreshed.",
        unit="seconds",
        default=600,
        bounds=(60, 3600),
    )
    session_idle_days = Whole(
        "SESSION_IDLE_DAYS",
        "How long a session lasts without being refreshed.",
        unit="days",
        default=30,
        bounds=(1, 365),
    )
    session_lifetime_days = Whole(
        "SESSION_LIFETIME_DAYS",
        "The maximum age of a session; then the user must sign in again.",
        unit="days",
        default=90,
        bounds=(1, 365),
    )
    profile_schema = FileContent(
        read_profile_schema,
        "PROFILE_SCHEMA",
        "The file with the JSON Schema (2020-12) of users' own fields. Without it, users have none. It is read at the "
        "start, and restarts apply changes.",
        default=None,
    )
    unconfirmed_access = Choice(
        UnconfirmedAccess,
        "UNCONFIRMED_ACCESS",
        "Which access a registration has before its activation: `off`, or a `limited` session. With `limited`, a link"
        " always asks for the password.",
        unit="access",
        default=UnconfirmedAccess.OFF,
    )
    organizations = Choice(
        Founding,
        "ORGANIZATIONS",
        "Whether registrations may found organizations, and when these get their databases: `off`, `after_activation`,"
        " or `before_activation`, where the code is sent once the database works.",
        unit="mode",
        default=Founding.OFF,
    )
    invitation_lifetime_seconds = Whole(
        "INVITATION_LIFETIME_SECONDS",
        "How long an invitation to an organization can be accepted.",
        unit="seconds",
        default=MAX_EMAIL_LIFETIME_SECONDS,
        bounds=(60, MAX_EMAIL_LIFETIME_SECONDS),
    )
    rate_limits = Switch(
        "RATE_LIMITS", "Whether rate limits apply. Turn them off only on a private network.", default=True
    )
    log_level = LogLevel()

    @post_load
    def _with_limits(self, settings: dict[str, Any], **_more: Any) -> dict[str, Any]:
        limits = {limit: settings.pop(limit.value) for limit in Limit}
        if not settings.pop("rate_limits"):
            limits = dict.fromkeys(Limit, Windows.read("none"))
        return settings | {"limits": limits}

    @validates_schema
    def _ends_sessions(self, settings: dict[str, Any], **_more: Any) -> None:
        idle, lifetime = settings["session_idle_days"], settings["session_lifetime_days"]
        if idle > lifetime:
            raise ValidationError(
                f"SESSION_IDLE_DAYS={idle} is above SESSION_LIFETIME_DAYS={lifetime}: no session would last that long"
            )

    @validates_schema
    def _codes_outlive_pauses(self, settings: dict[str, Any], **_more: Any) -> None:
        pauses = (
            ("resend_cooldown_seconds", Channel, "a resend would come too late"),
            ("activation_fallback_seconds", settings["activation_fallback"].channels, "the code would have expired"),
        )
        errors = [
            f"{pause.upper()}={settings[pause]} is not below {lifetime.upper()}={settings[lifetime]}: {problem}"
            for pause, channels, problem in pauses
            for lifetime in (f"activation_{channel}_lifetime_seconds" for channel in channels)
            if settings[pause] >= settings[lifetime]
        ]
        if errors:
            raise ValidationError(errors)


@dataclass(frozen=True)
class MigrateSettings:
    """The settings of ``migrate``."""

    database_url: str = field(repr=False)


class MigrateSettingsSchema(SettingsSchema):
    """The settings of ``migrate``."""

    result: ClassVar = MigrateSettings

    database_url = DatabaseUrl("DATABASE_URL", "The database to migrate; log in as its owner.", is_secret=True)
