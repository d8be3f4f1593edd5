"""The API's settings, from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from api_service.limit_settings import LimitSettings, LimitSettingsSchema, Origins
from api_service.session_settings import SessionSettings, SessionSettingsSchema
from shared.cores import cores
from shared.secrets import SecretKeys
from shared.settings import Bind, DatabaseUrl, KeyRing, LogLevel, OneOf, WebUrl, Whole
from shared.vocabulary import Channel

COUNTS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Not a setting of ours: where ``serve`` tells prometheus_client that the worker processes count."""

LONGEST_EMAIL_LIFETIME_SECONDS = 72 * 3600
LONGEST_ACCOUNT_CODE_SECONDS = 3600
LONGEST_SMS_LIFETIME_SECONDS = 600
"""OWASP ASVS 5.0 §6.5.5: a code sent out of band lives for ten minutes at most."""


class ActivationFallback(StrEnum):
    """Which channel may take over from the other."""

    NONE = "none"
    SMS = "sms"
    EMAIL = "email"
    BOTH = "both"

    @property
    def channels(self) -> Mapping[Channel, Channel]:
        """Return the channel that takes over, by the one that it takes over from."""
        match self:
            case ActivationFallback.NONE:
                return {}
            case ActivationFallback.SMS:
                return {Channel.EMAIL: Channel.SMS}
            case ActivationFallback.EMAIL:
                return {Channel.SMS: Channel.EMAIL}
            case ActivationFallback.BOTH:
                return {Channel.EMAIL: Channel.SMS, Channel.SMS: Channel.EMAIL}


@dataclass(frozen=True)
class ApiSettings(LimitSettings, SessionSettings):
    """All that the API is told from outside."""

    database_url: str = field(repr=False)
    listen_database_url: str | None = field(repr=False)
    secret_keys: SecretKeys
    public_url: str
    bind: tuple[str, int]
    trusted_proxies: int
    cors_origins: frozenset[str]
    workers: int
    threads: int
    activation_email_lifetime_seconds: int
    activation_sms_lifetime_seconds: int
    activation_attempts: int
    account_code_email_lifetime_seconds: int
    account_code_sms_lifetime_seconds: int
    resend_cooldown_seconds: int
    activation_fallback: ActivationFallback
    activation_fallback_seconds: int
    log_level: str

    @property
    def lifetimes(self) -> Mapping[Channel, timedelta]:
        """How long an activation token works."""
        return {
            Channel.EMAIL: timedelta(seconds=self.activation_email_lifetime_seconds),
            Channel.SMS: timedelta(seconds=self.activation_sms_lifetime_seconds),
        }

    @property
    def account_code_lifetimes(self) -> Mapping[Channel, timedelta]:
        """How long a code works that resets a password or proves a new address."""
        return {
            Channel.EMAIL: timedelta(seconds=self.account_code_email_lifetime_seconds),
            Channel.SMS: timedelta(seconds=self.account_code_sms_lifetime_seconds),
        }

    @property
    def resend_cooldown(self) -> timedelta:
        """How long a registration's newest message must have been there before the next."""
        return timedelta(seconds=self.resend_cooldown_seconds)

    @property
    def fallbacks(self) -> Mapping[Channel, Channel]:
        """Which channel takes over from which."""
        return self.activation_fallback.channels

    @property
    def fallback_after(self) -> timedelta:
        """How long a message may go without a provider's yes before the other channel takes over."""
        return timedelta(seconds=self.activation_fallback_seconds)


class ApiSettingsSchema(LimitSettingsSchema, SessionSettingsSchema):
    """How the API's settings are written."""

    result: ClassVar = ApiSettings

    database_url = DatabaseUrl(
        "DATABASE_URL", "Where users and the outbox are; log in as a member of signpost_api.", is_secret=True
    )
    listen_database_url = DatabaseUrl(
        "LISTEN_DATABASE_URL",
        "Where to listen for settled messages, if DATABASE_URL leads to a pooler: past it, to the server itself.",
        default=None,
        is_secret=True,
    )
    secret_keys = KeyRing(
        "SECRET_KEYS", "`id:base64,id:base64`; the first derives, all verify. The same as the relay's.", is_secret=True
    )
    public_url = WebUrl(
        "PUBLIC_URL",
        "Where people reach the API: what access tokens are issued by and for; if that is https, browsers are told "
        "to keep to it (HSTS). The relay's too.",
        unit="URL",
    )
    bind = Bind("API_BIND", "Where clients are served.", unit="host:port", default=("127.0.0.1", 8000))
    trusted_proxies = Whole(
        "TRUSTED_PROXIES",
        "How many proxies in front append to X-Forwarded-For; what they did not write is not believed.",
        unit="proxies",
        default=0,
        bounds=(0, 16),
    )
    cors_origins = Origins(
        "CORS_ORIGINS", "The sites whose pages may call the API from a browser, such as `https://app.example.org`."
    )
    workers = Whole(
        "API_WORKERS",
        "Processes that serve; without it, as many as there are cores. They share the cores to hash passwords.",
        unit="processes",
        default=cores,
        bounds=(1, 256),
    )
    threads = Whole(
        "API_THREADS",
        "Threads of each process, and its connections to the database; up to half of them hold requests that wait.",
        unit="threads",
        default=8,
        bounds=(1, 256),
    )
    activation_email_lifetime_seconds = Whole(
        "ACTIVATION_EMAIL_LIFETIME_SECONDS",
        "How long the code and the link in an e-mail work.",
        unit="seconds",
        default=86_400,
        bounds=(60, LONGEST_EMAIL_LIFETIME_SECONDS),
    )
    activation_sms_lifetime_seconds = Whole(
        "ACTIVATION_SMS_LIFETIME_SECONDS",
        "How long the code in an SMS works.",
        unit="seconds",
        default=600,
        bounds=(60, LONGEST_SMS_LIFETIME_SECONDS),
    )
    activation_attempts = Whole(
        "ACTIVATION_ATTEMPTS",
        "How often a code may be tried, of whatever kind.",
        unit="attempts",
        default=5,
        bounds=(1, 20),
    )
    account_code_email_lifetime_seconds = Whole(
        "ACCOUNT_CODE_EMAIL_LIFETIME_SECONDS",
        "How long the code in an e-mail works that resets a password or proves a new address.",
        unit="seconds",
        default=900,
        bounds=(60, LONGEST_ACCOUNT_CODE_SECONDS),
    )
    account_code_sms_lifetime_seconds = Whole(
        "ACCOUNT_CODE_SMS_LIFETIME_SECONDS",
        "The same of the code in an SMS.",
        unit="seconds",
        default=600,
        bounds=(60, LONGEST_SMS_LIFETIME_SECONDS),
    )
    resend_cooldown_seconds = Whole(
        "RESEND_COOLDOWN_SECONDS",
        "How old the newest message must be before another is sent.",
        unit="seconds",
        default=60,
        bounds=(0, 3600),
    )
    activation_fallback = OneOf(
        ActivationFallback,
        "ACTIVATION_FALLBACK",
        "Which channel may take over, if the user gave both addresses: `sms` from e-mail, `email` from SMS, `both`, or"
        " `none`.",
        unit="channel",
        default=ActivationFallback.NONE,
    )
    activation_fallback_seconds = Whole(
        "ACTIVATION_FALLBACK_SECONDS",
        "How long no provider has accepted the message when the other channel takes over; at once if it is refused.",
        unit="seconds",
        default=120,
        bounds=(10, 86_400),
    )
    log_level = LogLevel()

    @validates_schema
    def _fits_together(self, settings: dict[str, Any], **_more: Any) -> None:
        cooldown = settings["resend_cooldown_seconds"]
        for name in ("activation_sms_lifetime_seconds", "activation_email_lifetime_seconds"):
            if cooldown >= settings[name]:
                lifetime = f"{name.upper()}={settings[name]}"
                raise ValidationError(
                    f"RESEND_COOLDOWN_SECONDS={cooldown} is not below {lifetime}: nobody could ask again in time"
                )

    @validates_schema
    def _falls_back_in_time(self, settings: dict[str, Any], **_more: Any) -> None:
        after = settings["activation_fallback_seconds"]
        for channel in settings["activation_fallback"].channels:
            name = f"activation_{channel}_lifetime_seconds"
            if after >= settings[name]:
                lifetime = f"{name.upper()}={settings[name]}"
                raise ValidationError(
                    f"ACTIVATION_FALLBACK_SECONDS={after} is not below {lifetime}: nothing would be left"
                )
