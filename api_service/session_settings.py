"""How long sessions go on, in settings."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from marshmallow import ValidationError, validates_schema

from shared.settings import SettingsSchema, Whole


@dataclass(frozen=True)
class SessionSettings:
    """How long a session holds, and what shows it."""

    access_token_lifetime_seconds: int
    session_idle_days: int
    session_lifetime_days: int

    @property
    def access_token_lifetime(self) -> timedelta:
        """How long an access token holds, and so how often sessions are refreshed."""
        return timedelta(seconds=self.access_token_lifetime_seconds)


class SessionSettingsSchema(SettingsSchema):
    """How they are written."""

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

    @validates_schema
    def _ends_sessions(self, settings: dict[str, Any], **_more: Any) -> None:
        idle, lifetime = settings["session_idle_days"], settings["session_lifetime_days"]
        if idle > lifetime:
            raise ValidationError(
                f"SESSION_IDLE_DAYS={idle} is above SESSION_LIFETIME_DAYS={lifetime}: no session would go on that long"
            )
