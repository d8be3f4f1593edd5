"""The rate limits: their names, subjects and defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from limits import RateLimitItem, parse_many

MOST_HITS = 1000
"""Of one window. Each hit's timestamp is stored and read with every later hit."""
NONE = "none"


class Limit(StrEnum):
    """The limits, named as in settings and responses."""

    REGISTRATIONS_PER_NETWORK = "registrations_per_network"
    REGISTRATIONS_PER_ADDRESS = "registrations_per_address"
    RESENDS_PER_ADDRESS = "resends_per_address"
    CODE_TRIES_PER_ADDRESS = "code_tries_per_address"
    FAILED_LOGINS_PER_NETWORK = "failed_logins_per_network"
    FAILED_LOGINS_PER_ADDRESS = "failed_logins_per_address"
    WRONG_PASSWORDS_PER_USER = "wrong_passwords_per_user"
    CHANGES_PER_USER = "changes_per_user"
    RESETS_PER_NETWORK = "resets_per_network"
    RESETS_PER_ADDRESS = "resets_per_address"


class Per(StrEnum):
    """The subject whose hits are counted together."""

    NETWORK = "network"
    ADDRESS = "address"
    USER = "user"


@dataclass(frozen=True)
class Windows:
    """One or several windows, all of which apply: ``5/hour; 20/day``. Without windows there is no limit."""

    text: str
    items: tuple[RateLimitItem, ...]

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse the value of a setting. Raises ValueError."""
        if text == NONE:
            return cls(text, ())
        items = tuple(parse_many(text))
        if not all(1 <= item.amount <= MOST_HITS and item.multiples >= 1 for item in items):
            raise ValueError("too few or too many")
        return cls(text, items)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Rule:
    """The subject, description and default of a limit."""

    per: Per
    meaning: str
    default: Windows


def _rule(per: Per, meaning: str, default: str) -> Rule:
    return Rule(per, meaning, Windows.read(default))


RULES: Mapping[Limit, Rule] = {
    Limit.REGISTRATIONS_PER_NETWORK: _rule(Per.NETWORK, "Registrations from one network.", "20/minute"),
    Limit.REGISTRATIONS_PER_ADDRESS: _rule(Per.ADDRESS, "Registrations of one address.", "5/hour"),
    Limit.RESENDS_PER_ADDRESS: _rule(
        Per.ADDRESS, "Resends to one address; RESEND_COOLDOWN_SECONDS is between them.", "5/day"
    ),
    Limit.CODE_TRIES_PER_ADDRESS: _rule(
        Per.ADDRESS, "Tries of codes sent to one address, including right ones; links are not limited.", "10/day"
    ),
    Limit.FAILED_LOGINS_PER_NETWORK: _rule(
        Per.NETWORK, "Failed logins from one network; a success does not clear them.", "10/minute"
    ),
    Limit.FAILED_LOGINS_PER_ADDRESS: _rule(Per.ADDRESS, "Failed logins to one address.", "5/5 minutes"),
    Limit.WRONG_PASSWORDS_PER_USER: _rule(
        Per.USER, "Wrong passwords of one signed-in user, for actions that ask for it again.", "5/5 minutes"
    ),
    Limit.CHANGES_PER_USER: _rule(
        Per.USER, "Changes of password or address by one signed-in user; each sends messages.", "10/day"
    ),
    Limit.RESETS_PER_NETWORK: _rule(Per.NETWORK, "Password resets requested from one network.", "20/minute"),
    Limit.RESETS_PER_ADDRESS: _rule(Per.ADDRESS, "Password resets of one address.", "5/hour"),
}
