"""The closed sets that the processes share; docs/glossary.md says what each word means."""

from enum import StrEnum

WAKE_CHANNEL = "signpost_outbox"
"""PostgreSQL NOTIFY channel on which the API tells the relays that something is due."""


class Channel(StrEnum):
    """The way a message goes."""

    EMAIL = "email"
    SMS = "sms"


class Status(StrEnum):
    """Where a message stands. Being leased is not a status: a lease runs out by itself."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


class DeadReason(StrEnum):
    """Why a message will not be tried again."""

    REJECTED = "rejected"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"
    POISON = "poison"
    UNKNOWN_OUTCOME = "unknown_outcome"


class Template(StrEnum):
    """Which words a message carries."""

    ACTIVATION = "activation"
    ACCOUNT_EXISTS = "account_exists"


class Purpose(StrEnum):
    """What a token may be used for. A decoy can never be used; it only looks like the others."""

    ACTIVATION = "activation"
    DECOY = "decoy"


class UserStatus(StrEnum):
    """Retired users lost their address to another registration of it that was activated first."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"


class Locale(StrEnum):
    """The languages that messages are written in."""

    EN = "en"
    FR = "fr"
