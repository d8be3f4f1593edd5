"""The settings of `outboxctl` and of the console's process, from the environment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from shared.profiles import ProfileSchema, read_profile_schema
from shared.secrets import SecretKeys
from shared.settings import AdminBind, Bind, DatabaseUrl, FileContent, KeyRing, LogLevel, SettingsSchema, WebUrl, Whole

MINUTES_PER_HOUR = 60


@dataclass(frozen=True)
class ConsoleSettings:
    """The settings of `outboxctl`."""

    database_url: str = field(repr=False)


class ConsoleSettingsSchema(SettingsSchema):
    """How they are read."""

    result: ClassVar[Callable[..., Any]] = ConsoleSettings

    database_url = DatabaseUrl(
        "DATABASE_URL", "The database of the outbox. Log in as a member of signpost_console.", is_secret=True
    )


@dataclass(frozen=True)
class ProfileSettings(ConsoleSettings):
    """The settings of `outboxctl users`."""

    profile_schema: ProfileSchema


class ProfileSettingsSchema(ConsoleSettingsSchema):
    """How they are read."""

    result: ClassVar[Callable[..., Any]] = ProfileSettings

    profile_schema = FileContent(read_profile_schema, "PROFILE_SCHEMA", "The same file as the API's.")


@dataclass(frozen=True)
class SuppressionSettings(ConsoleSettings):
    """The settings of `outboxctl suppressions add` and `remove`."""

    feedback_keys: SecretKeys = field(repr=False)


class SuppressionSettingsSchema(ConsoleSettingsSchema):
    """How they are read."""

    result: ClassVar[Callable[..., Any]] = SuppressionSettings

    feedback_keys = KeyRing("FEEDBACK_KEYS", "The same as the relay's.", is_secret=True)


@dataclass(frozen=True)
class WebSettings(ConsoleSettings):
    """The settings of `operator-console`."""

    bind: tuple[str, int]
    admin_bind: tuple[str, int]
    url: str | None
    trusted_proxies: int
    threads: int
    session_idle_minutes: int
    session_hours: int
    log_level: str
    feedback_keys: SecretKeys | None = field(repr=False)
    organization_keys: SecretKeys | None = field(repr=False)

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the console by https."""
        return bool(self.url and self.url.startswith("https:"))


class WebSettingsSchema(ConsoleSettingsSchema):
    """How they are read."""

    result: ClassVar = WebSettings
    prefix: ClassVar = "CONSOLE_"

    bind = Bind(
        "CONSOLE_BIND",
        "The address and port to listen on. A socket of systemd replaces it.",
        unit="host:port",
        default=("127.0.0.1", 8001),
    )
    admin_bind = AdminBind("CONSOLE_ADMIN_BIND", port=8004)
    url = WebUrl(
        "CONSOLE_URL",
        "The address of the console for operators. With https, browsers send the session cookie over https only, "
        "and responses carry HSTS. The relay uses it, too.",
        unit="URL",
        default=None,
    )
    trusted_proxies = Whole(
        "TRUSTED_PROXIES",
        "How many proxies in front append to X-Forwarded-For; it determines the client whose wrong tokens are counted.",
        unit="proxies",
        default=0,
        bounds=(0, 16),
    )
    threads = Whole(
        "CONSOLE_THREADS",
        "Requests served at once, and connections to the database.",
        unit="threads",
        default=8,
        bounds=(2, 64),
    )
    session_idle_minutes = Whole(
        "CONSOLE_SESSION_IDLE_MINUTES",
        "How long an unused session of the pages lasts; auto-refresh does not extend it.",
        unit="minutes",
        default=30,
        bounds=(1, 1440),
    )
    session_hours = Whole(
        "CONSOLE_SESSION_HOURS",
        "How long any session of the pages lasts.",
        unit="hours",
        default=12,
        bounds=(1, 168),
    )
    log_level = LogLevel()
    feedback_keys = KeyRing(
        "FEEDBACK_KEYS",
        "The same as the relay's. Without them, the console cannot look up or add an address of the suppression list.",
        is_secret=True,
        default=None,
    )

    organization_keys = KeyRing(
        "ORGANIZATION_KEYS",
        "The same as the relay's. Without them, the console gives applications no credentials of organizations.",
        is_secret=True,
        default=None,
    )

    @validates_schema
    def _check_session_times(self, settings: dict[str, Any], **_more: Any) -> None:
        if settings["session_idle_minutes"] > settings["session_hours"] * MINUTES_PER_HOUR:
            raise ValidationError(
                f"CONSOLE_SESSION_IDLE_MINUTES={settings['session_idle_minutes']} is above "
                f"CONSOLE_SESSION_HOURS={settings['session_hours']}: a session ends before it can be idle for so long"
            )
