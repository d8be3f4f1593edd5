"""What falling back to SMS may cost a day: in all, by country prefix, and by number."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.addresses import country_prefix
from shared.secrets import number_hash


class Scope(StrEnum):
    """What a budget is for."""

    TOTAL = "total"
    PREFIX = "prefix"
    NUMBER = "number"


@dataclass(frozen=True)
class Budgets:
    """How many messages a day may fall back to SMS."""

    total: int
    per_prefix: int
    per_number: int

    def of(self, scope: Scope) -> int:
        """Return the budget of that scope."""
        match scope:
            case Scope.TOTAL:
                return self.total
            case Scope.PREFIX:
                return self.per_prefix
            case Scope.NUMBER:
                return self.per_number


def scopes_by_name(number: str, key: bytes) -> Mapping[str, Scope]:
    """Return the names under which an SMS to the number is counted, each with its scope.

    In the order in which every relay is to lock them: the one that all of them share comes first, so
    that no two can wait for each other. The number itself is kept as a keyed hash.
    """
    return {
        "total": Scope.TOTAL,
        f"prefix:{country_prefix(number)}": Scope.PREFIX,
        f"number:{number_hash(number, key)}": Scope.NUMBER,
    }
