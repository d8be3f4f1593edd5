"""The API's settings, from its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, validates_schema

from shared.secrets import SecretKeys
from shared.settings import Bind, DatabaseUrl, KeyRing, LogLevel, SettingsSchema, about, whole
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
        data_key="DATABASE_URL",
        required=True,
        metadata=about("Where users and the outbox are; log in as a member of signpost_api.", is_secret=True),
    )
    secret_keys = KeyRing(
        data_key="SECRET_KEYS",
        required=True,
        metadata=about(
            "`id:base64,id:base64`; the first derives, all verify. The same as the relay's.", is_secret=True
        ),
    )
    bind = Bind(
        data_key="API_BIND",
        load_default=("127.0.0.1", 8000),
        metadata=about("Where clients are served.", unit="host:port"),
    )
    workers = fields.Integer(
        data_key="API_WORKERS",
        load_default=cores,
        metadata=about("Processes that serve; without it, as many as there are cores.", unit="processes"),
        **whole(1, 256),
    )
    threads = fields.Integer(
        data_key="API_THREADS",
        load_default=8,
        metadata=about(
            "Threads of each process, and its connections to the database; up to half of them hold requests that wait.",
            unit="threads",
        ),
        **whole(1, 256),
    )
    activation_email_lifetime_seconds = fields.Integer(
        data_key="ACTIVATION_EMAIL_LIFETIME_SECONDS",
        load_default=86_400,
        metadata=about("How long the code and the link in an e-mail work.", unit="seconds"),
        **whole(60, LONGEST_EMAIL_LIFETIME_SECONDS),
    )
    activation_sms_lifetime_seconds = fields.Integer(
        data_key="ACTIVATION_SMS_LIFETIME_SECONDS",
        load_default=600,
        metadata=about("How long the code in an SMS works.", unit="seconds"),
        **whole(60, LONGEST_SMS_LIFETIME_SECONDS),
    )
    activation_attempts = fields.Integer(
        data_key="ACTIVATION_ATTEMPTS",
        load_default=5,
        metadata=about("How often a code may be tried.", unit="attempts"),
        **whole(1, 20),
    )
    resend_cooldown_seconds = fields.Integer(
        data_key="RESEND_COOLDOWN_SECONDS",
        load_default=60,
        metadata=about("How old the newest message must be before another is sent.", unit="seconds"),
        **whole(0, 3600),
    )
    log_level = LogLevel(
        data_key="LOG_LEVEL", load_default="info", metadata=about("debug, info, warning or error.", unit="level")
    )

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

    database_url = DatabaseUrl(
        data_key="DATABASE_URL",
        required=True,
        metadata=about("The database to migrate; log in as its owner.", is_secret=True),
    )
