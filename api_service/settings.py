"""The API's settings, from its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from shared.secrets import SecretKeys
from shared.settings import Bind, DatabaseUrl, KeyRing, LogLevel, SettingsSchema, Whole
from shared.vocabulary import Channel

COUNTS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Not a setting of ours: where ``serve`` tells prometheus_client that the worker processes count."""

LONGEST_EMAIL_LIFETIME_SECONDS = 72 * 3600
LONGEST_SMS_LIFETIME_SECONDS = 600
"""OWASP ASVS 5.0 §6.5.5: a code sent out of band lives for ten minutes at most."""


@dataclass(frozen=True)
class ApiSettings:
    """All that the API is told from outside."""

    database_url: str = field(repr=False)
    secret_keys: SecretKeys
    bind: tuple[str, int]
    workers: int
    threads: int
    activation_email_lifetime_seconds: int
    activation_sms_lifetime_seconds: int
    activation_attempts: int
    resend_cooldown_seconds: int
    log_level: str

    @property
    def lifetimes(self) -> Mapping[Channel, timedelta]:
        """How long an activation token works."""
        return {
            Channel.EMAIL: timedelta(seconds=self.activation_email_lifetime_seconds),
            Channel.SMS: timedelta(seconds=self.activation_sms_lifetime_seconds),
        }

    @property
    def resend_cooldown(self) -> timedelta:
        """How long a registration's newest message must have been there before the next."""
        return timedelta(seconds=self.resend_cooldown_seconds)


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
        "ACTIVATION_ATTEMPTS", "How often a code may be tried.", unit="attempts", default=5, bounds=(1, 20)
    )
    resend_cooldown_seconds = Whole(
        "RESEND_COOLDOWN_SECONDS",
        "How old the newest message must be before another is sent.",
        unit="seconds",
        default=60,
        bounds=(0, 3600),
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


@dataclass(frozen=True)
class MigrateSettings:
    """All that ``migrate`` needs."""

    database_url: str = field(repr=False)


class MigrateSettingsSchema(SettingsSchema):
    """How the settings of ``migrate`` are written."""

    result: ClassVar = MigrateSettings

    database_url = DatabaseUrl("DATABASE_URL", "The database to migrate; log in as its owner.", is_secret=True)
