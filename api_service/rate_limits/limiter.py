"""Counting a request against limits, and refusing it beyond them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import ClassVar

from limits import RateLimitItem
from sqlalchemy import Connection, Engine

from api_service.errors import Code, NotYetError
from api_service.rate_limits.rules import RULES, Limit, Per, Windows
from api_service.rate_limits.storage import Ask, Hits, Told
from shared.secrets import address_id


@dataclass(frozen=True)
class Subject:
    """Who is counted by a limit: a network, the hash of an address, or a user."""

    limit: Limit
    name: str = field(repr=False)


@dataclass(frozen=True)
class Tally:
    """How a subject stands with one window of a limit; ``seconds`` is when the oldest hit leaves it."""

    limit: Limit
    item: RateLimitItem
    is_admitted: bool
    left: int
    seconds: int


class TooManyRequestsError(NotYetError):
    """A limit is reached. Nothing is told of whose hits they were, nor whether the address is known."""

    code: ClassVar[Code] = Code.TOO_MANY_REQUESTS

    def __init__(self, tallies: list[Tally]) -> None:
        super().__init__()
        self.tallies = tallies
        self.reached = [tally for tally in tallies if not tally.is_admitted]
        self.retry_after_seconds = max(tally.seconds for tally in self.reached)  # when all would admit again


class Limiter:
    """Counts hits against the limits that are set; where none is, nobody is counted.

    A network comes first: what it is refused counts against nobody else, or whoever is refused could go on
    using up what other people's addresses are allowed. What an address is refused still counts against the network.
    """

    def __init__(self, engine: Engine, windows: Mapping[Limit, Windows], key: bytes) -> None:
        self._hits = Hits(engine)
        self._windows = windows
        self._key = key

    def address(self, limit: Limit, canonical: str) -> Subject:
        """Name an address by its id under the server's key, which no list of addresses leads back from."""
        return Subject(limit, address_id(canonical, self._key).hex)

    def spend(self, subjects: Iterable[Subject], connection: Connection | None = None) -> list[Tally]:
        """Count one hit of each, in one round trip. Raises TooManyRequestsError where any is refused.

        With a connection the hits are part of its transaction: they count if it commits, and whoever else
        has a hit of the same subject waits until then. So only after all that is slow, and by its last statements.
        """
        asked = self._asked(subjects)
        if not asked:
            return []
        told = self._hits.add([_ask(key, limit, item) for key, limit, item in asked], connection)
        tallies = [_tally(limit, item, told[key]) for key, limit, item in asked if key in told]
        if not all(tally.is_admitted for tally in tallies):
            raise TooManyRequestsError(tallies)
        return tallies

    def time_until_admitted(self, subject: Subject, connection: Connection | None = None) -> timedelta:
        """Return how long until one more hit would be admitted; counts none."""
        asked = self._asked([subject])
        if not asked:
            return timedelta(0)
        held = self._hits.look([key for key, _, _ in asked], connection)
        full = [held[key].seconds for key, _, item in asked if key in held and held[key].count >= item.amount]
        return timedelta(seconds=max(full, default=0))

    def give_back(self, subjects: Iterable[Subject]) -> None:
        """Take a hit of each back: what was counted beforehand did not happen."""
        if asked := self._asked(subjects):
            self._hits.give_back([_ask(key, limit, item) for key, limit, item in asked])

    def _asked(self, subjects: Iterable[Subject]) -> list[tuple[str, Limit, RateLimitItem]]:
        # PostgreSQL takes no row twice in one statement.
        return [
            (item.key_for(subject.limit.value, subject.name), subject.limit, item)
            for subject in dict.fromkeys(subjects)
            for item in self._windows[subject.limit].items
        ]


def _ask(key: str, limit: Limit, item: RateLimitItem) -> Ask:
    return Ask(key, item.amount, item.get_expiry(), is_first=RULES[limit].per is Per.NETWORK)


def _tally(limit: Limit, item: RateLimitItem, told: Told) -> Tally:
    return Tally(limit, item, told.is_admitted, max(item.amount - told.count, 0), max(ceil(told.seconds), 1))
