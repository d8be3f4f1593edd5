"""Counting a request against limits, and refusing it beyond them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import ClassVar

from limits import RateLimitItem
from sqlalchemy import Connection, Engine

from api_service.errors import Code
from api_service.rate_limits.rules import RULES, Limit, Per, Windows
from api_service.rate_limits.storage import Ask, PostgresStorage, Told
from shared.secrets import address_id
from shared.web.refusals import Refusal


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


class TooManyRequestsError(Refusal):
    """A limit is reached. Nothing is told of whose hits they were, nor whether the address is known."""

    code: ClassVar[Code] = Code.TOO_MANY_REQUESTS

    def __init__(self, tallies: list[Tally]) -> None:
        super().__init__()
        self.tallies = tallies

    @property
    def reached(self) -> list[Tally]:
        """Those that refused."""
        return [tally for tally in self.tallies if not tally.is_admitted]

    @property
    def retry_after_seconds(self) -> int:
        """When all of them would admit again."""
        return max(tally.seconds for tally in self.reached)


class Limiter:
    """Counts hits against the limits that are set; where none is, nobody is counted.

    A network comes first: what it is refused counts against nobody else, or whoever is refused could go on
    using up what other people's addresses are allowed. What an address is refused still counts against the network.
    """

    def __init__(self, engine: Engine, windows: Mapping[Limit, Windows], key: bytes) -> None:
        self._storage = PostgresStorage(engine)
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
        told = self._storage.hit([_ask(key, limit, item) for key, limit, item in asked], connection)
        tallies = [_tally(limit, item, told[key]) for key, limit, item in asked if key in told]
        if not all(tally.is_admitted for tally in tallies):
            raise TooManyRequestsError(tallies)
        return tallies

    def wait_for(self, subject: Subject, connection: Connection | None = None) -> timedelta:
        """Return how long until one more hit would be admitted; counts none."""
        asked = self._asked([subject])
        if not asked:
            return timedelta(0)
        rows = self._storage.look([key for key, _, _ in asked], connection)
        full = [rows[key].seconds for key, _, item in asked if key in rows and rows[key].held >= item.amount]
        return timedelta(seconds=max(full, default=0))

    def give_back(self, subjects: Iterable[Subject]) -> None:
        """Take a hit of each back: what was counted beforehand did not happen."""
        if keys := [key for key, _, _ in self._asked(subjects)]:
            self._storage.give_back(keys)

    def forget(self, subjects: Iterable[Subject]) -> None:
        """Forget all hits of these."""
        if keys := [key for key, _, _ in self._asked(subjects)]:
            self._storage.forget(keys)

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
    return Tally(limit, item, told.is_admitted, max(item.amount - told.held, 0), max(ceil(told.seconds), 1))
