"""The API's settings, from its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from shared.secrets import SecretKeys
from shared.settings import Bind, DatabaseUrl, KeyRing, LogLevel, OneOf, SettingsSchema, WebUrl, Whole
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
class ApiSettings:
    """All that the API is told from outside."""

    database_url: str = field(repr=False)
    secret_keys: SecretKeys
    public_url: str
    bind: tuple[str, int]
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
    access_token_lifetime_seconds: int
    session_idle_days: int
    session_lifetime_days: int
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

    @property
    def access_token_lifetime(self) -> timedelta:
        """How long an access token holds, and so how often sessions are refreshed."""
        return timedelta(seconds=self.access_token_lifetime_seconds)


def cores() -> int:
    """Count the processors that this process may run on."""
    return len(os.sched_getaffinity(0))


class ApiSettingsSchema(SettingsSchema):
    """How the API's settings are written."""

    result: ClassVar = ApiSettings

    database_url = DatabaseUrl(
        "DATABASE_URL", "Where users and the outbox are; log in as a member of signpost_api.", is_secret=True
    )
    secret_keys = KeyRing(
        "SECRET_KEYS", "`id:base64,id:base64`; the first derives, all verify. The same as the relay's.", is_secret=True
    )
    public_url = WebUrl(
        "PUBLIC_URL",
        "Where people reach the API: what access tokens are issued by and for. The relay's too.",
        unit="URL",
    )
    bind = Bind("API_BIND", "Where clients are served.", unit="host:port", default=("127.0.0.1", 8000))
    workers = Whole(
        "API_WORKERS",
        "Processes that serve; without it, as many as there are cores.",
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
    access_token_lifetime_seconds = Whole(
        "ACCESS_TOKEN_LIFETIME_SECONDS",
        "How long an access token holds before its session has to be refreshed.",
        unit="seconds",
        default=600,
        bounds=(60, 3600),
    )
    session_idle_days = Whole(
        "SESSION_IDLE_DAYS",
        "How long a session goes on without being refreshed.",
        unit="days",
        default=30,
        bounds=(1, 365),
    )
    session_lifetime_days = Whole(
        "SESSION_LIFETIME_DAYS",
        "How long a session goes on at the most; then one signs in again.",
        unit="days",
        default=90,
        bounds=(1, 365),
    )
    log_level = LogLevel()

    @validates_schema
    def _fits_together(self, settings: dict[str, Any], **_more: Any) -> None:
        cooldown = settings["resend_cooldown_seconds"]
        for name in ("activation_sms_lifetime_seconds", "activation_email_lifetime_seconds"):
            if cooldown >= settings[name]:
                shortest = f"{name.upper()}={settings[name]}"
                raise ValidationError(
                    f"RESEND_COOLDOWN_SECONDS={cooldown} is not below {shortest}: nobody could ask again in time"
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

    @validates_schema
    def _ends_sessions(self, settings: dict[str, Any], **_more: Any) -> None:
        idle, lifetime = settings["session_idle_days"], settings["session_lifetime_days"]
        if idle > lifetime:
            raise ValidationError(
                f"SESSION_IDLE_DAYS={idle} is above SESSION_LIFETIME_DAYS={lifetime}: no session would go on that long"
            )
