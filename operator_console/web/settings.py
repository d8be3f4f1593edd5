"""The settings of the console's process, from its environment."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from operator_console.settings import ConsoleSettings, ConsoleSettingsSchema
from shared.settings import Bind, LogLevel, WebUrl, Whole

MINUTES_OF_AN_HOUR = 60


@dataclass(frozen=True)
class WebSettings(ConsoleSettings):
    """All that the process is told from outside."""

    bind: tuple[str, int]
    url: str | None
    trusted_proxies: int
    threads: int
    session_idle_minutes: int
    session_hours: int
    log_level: str

    @property
    def is_https(self) -> bool:
        """Whether people reach the console by https."""
        return bool(self.url and self.url.startswith("https:"))

    @property
    def idle(self) -> timedelta:
        """How long a session goes on without being used."""
        return timedelta(minutes=self.session_idle_minutes)

    @property
    def lifetime(self) -> timedelta:
        """How long a session goes on at the most."""
        return timedelta(hours=self.session_hours)


class WebSettingsSchema(ConsoleSettingsSchema):
    """How they are written."""

    result: ClassVar = WebSettings

    bind = Bind("CONSOLE_BIND", "Where operators are served.", unit="host:port", default=("127.0.0.1", 8001))
    url = WebUrl(
        "CONSOLE_URL",
        "Where operators reach the console; if that is https, its cookie goes by https only, and browsers are told to "
        "keep to it (HSTS). The relay's too.",
        unit="URL",
        default=None,
    )
    trusted_proxies = Whole(
        "TRUSTED_PROXIES",
        "How many proxies in front append to X-Forwarded-For: whose failed sign-ins are counted depends on it.",
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
        "How long someone stays signed in to the page without using it; a page that only renews itself is not used.",
        unit="minutes",
        default=30,
        bounds=(1, 1440),
    )
    session_hours = Whole(
        "CONSOLE_SESSION_HOURS",
        "How long someone stays signed in to the page at the most.",
        unit="hours",
        default=12,
        bounds=(1, 168),
    )
    log_level = LogLevel()

    @validates_schema
    def _fits_together(self, settings: dict[str, Any], **_more: Any) -> None:
        if settings["session_idle_minutes"] > settings["session_hours"] * MINUTES_OF_AN_HOUR:
            raise ValidationError(
                f"CONSOLE_SESSION_IDLE_MINUTES={settings['session_idle_minutes']} is above "
                f"CONSOLE_SESSION_HOURS={settings['session_hours']}: nobody could be idle for so long"
            )
