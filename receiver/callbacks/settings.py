"""The settings of `signpost-receiver callbacks`, from the environment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from marshmallow import missing

from receiver.settings import ReceiverSettings, ReceiverSettingsSchema
from shared.settings import AdminBind, Bind, CallbackBaseUrl, Text, Whole

SHORTEST_TOKEN = 16


class AuthTokens(Text):
    """One token or more, comma-separated."""

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the tokens."""
        tokens = tuple(token.strip() for token in text.split(","))
        if any(len(token) < SHORTEST_TOKEN or not token.isascii() for token in tokens):
            raise ValueError(f"has a token with fewer than {SHORTEST_TOKEN} characters, or not of ASCII")
        return tokens


@dataclass(frozen=True)
class CallbackSettings(ReceiverSettings):
    """The settings of the receiver of callbacks."""

    url: str
    bind: tuple[str, int]
    threads: int
    twilio_auth_token: tuple[str, ...] | None = field(repr=False)


class CallbackSettingsSchema(ReceiverSettingsSchema):
    """How they are read."""

    result: ClassVar[Callable[..., Any]] = CallbackSettings
    prefix: ClassVar = "CALLBACK_"

    url = CallbackBaseUrl(
        "CALLBACK_URL",
        "The address at which SMS gateways reach the receiver of callbacks: https, unless they are on this machine."
        " The same for relays and receivers.",
        unit="URL",
        default=missing,
    )
    bind = Bind(
        "CALLBACK_BIND",
        "The address and port to listen on for callbacks.",
        unit="host:port",
        default=("127.0.0.1", 8006),
    )
    admin_bind = AdminBind("CALLBACK_ADMIN_BIND", port=8007)
    threads = Whole(
        "CALLBACK_THREADS",
        "Callbacks served at once, and connections to the database.",
        unit="threads",
        default=8,
        bounds=(2, 64),
    )
    twilio_auth_token = AuthTokens(
        "TWILIO_AUTH_TOKEN",
        "The auth token with which Twilio signs callbacks. Several, comma-separated, during a rotation. Without it,"
        " Twilio's callbacks are refused.",
        is_secret=True,
        default=None,
    )
