"""The settings that all receivers have, from the environment."""

from dataclasses import dataclass, field

from shared.secrets import SecretKeys
from shared.settings import DatabaseUrl, KeyRing, LogLevel, SettingsSchema


@dataclass(frozen=True)
class ReceiverSettings:
    """The settings of any receiver."""

    database_url: str = field(repr=False)
    feedback_keys: SecretKeys
    log_level: str
    admin_bind: tuple[str, int]


class ReceiverSettingsSchema(SettingsSchema):
    """How they are read. Each receiver declares its own ``admin_bind``."""

    database_url = DatabaseUrl(
        "DATABASE_URL", "The database of the outbox. Log in as a member of signpost_receiver.", is_secret=True
    )
    feedback_keys = KeyRing(
        "FEEDBACK_KEYS",
        "`id:base64,id:base64`. They authenticate the addresses that bounces and callbacks come back to. The first"
        " makes new addresses, all verify. The same for relays and receivers.",
        is_secret=True,
    )
    log_level = LogLevel()
