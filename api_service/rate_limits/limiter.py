"""Count hits against rate limits in sliding windows in PostgreSQL, and reject requests beyond them.

Counting is exact and atomic across processes and hosts. A hit is one upsert that locks its row, so concurrent hits see
each other. Its timestamp is taken under the lock, so timestamps are in order. A rejected hit is not stored: the client
is admitted again once the oldest hit leaves the window.
"""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import Any, ClassVar

from limits import RateLimitItem
from sqlalchemy import Connection, Engine, text

from api_service.errors import Code, NotYetError
from api_service.rate_limits.rules import RULES, Limit, Per, Windows
from shared.secrets import address_id

# Keys are sorted, so two requests with several limits in common cannot deadlock. The table name is qualified: in a
# pooler's session a statement outside a transaction has none of our settings.
UPSERT = """
insert into public.rate_limits as stored (key, amount, period, hits, ends_at)
select key, amount, period, array[clock_timestamp()], clock_timestamp() + period
  from unnest(cast(:keys as text[]), cast(:amounts as integer[]), cast(:periods as interval[]),
              cast(:firsts as boolean[])) as requested (key, amount, period, is_first)
 where {which}
 order by key
on conflict (key) do update set (hits, is_admitted, ends_at) = (
    select case when cardinality(held) < excluded.amount then held || at else held end,
           cardinality(held) < excluded.amount,
           at + excluded.period
      from (select at, array(select hit from unnest(stored.hits) as hit where hit > at - excluded.period) as held
              from clock_timestamp() as at) as seen)
returning key, is_admitted, cardinality(hits) as held,
          extract(epoch from hits[1] + period - clock_timestamp())::float8 as seconds
"""

# The other limits count only if all gates admit the request. A key is in exactly one of the two groups.
GATES = UPSERT.format(which="is_first")
OTHERS = UPSERT.format(which="not is_first and not exists (select from gates where not gates.is_admitted)")
HIT = text(
    f"with gates as ({GATES}), others as ({OTHERS}) select * from gates union all select * from others"  # noqa: S608 - contains only constants
)

PEEK = text("""
select key, cardinality(held) as held, extract(epoch from held[1] + period - clock_timestamp())::float8 as seconds
  from (select key, period, array(select hit from unnest(hits) as hit where hit > clock_timestamp() - period) as held
          from public.rate_limits where key = any(cast(:keys as text[]))) as counted
""")

# Rows are locked in the order of a hit, gates first: a plain update would lock in scan order.
REFUND = text("""
with held as (
    select key from public.rate_limits as stored
      join unnest(cast(:keys as text[]), cast(:firsts as boolean[])) as requested (key, is_first) using (key)
     order by not is_first, key for no key update of stored)
update public.rate_limits as stored set hits = trim_array(hits, least(1, cardinality(hits)))
  from held where stored.key = held.key
""")


@dataclass(frozen=True)
class Subject:
    """The subject of a limit: a network, the hash of an address, or a user."""

    limit: Limit
    name: str = field(repr=False)


@dataclass(frozen=True)
class Tally:
    """The state of one window for a subject; ``seconds`` is the time until its oldest hit leaves."""

    limit: Limit
    item: RateLimitItem
    is_admitted: bool
    left: int
    seconds: int


class TooManyRequestsError(NotYetError):
    """A limit is reached. The response does not reveal the subject, nor whether an address is known."""

    code: ClassVar[Code] = Code.TOO_MANY_REQUESTS

    def __init__(self, tallies: list[Tally]) -> None:
        super().__init__()
        self.tallies = tallies
        self.reached = [tally for tally in tallies if not tally.is_admitted]
        self.retry_after_seconds = max(tally.seconds for tally in self.reached)  # until all windows admit a hit


@dataclass(frozen=True)
class _Counted:
    """A window of a subject's limit, with the key of its stored hits."""

    key: str
    limit: Limit
    item: RateLimitItem

    @property
    def is_gate(self) -> bool:
        """Whether the other hits count only if this one is admitted."""
        return RULES[self.limit].per is Per.NETWORK


class Limiter:
    """Counts hits against the configured limits.

    Networks are gates: what a network is refused does not count against addresses, which a stranger could otherwise
    exhaust. What an address is refused still counts against the network.
    """

    def __init__(self, engine: Engine, windows: Mapping[Limit, Windows], key: bytes) -> None:
        # Each statement is a transaction, so it takes one round trip. The table is unlogged, so the commit does not
        # wait for the disk.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._windows = windows
        self._key = key

    def address(self, limit: Limit, canonical: str) -> Subject:
        """Return an address as a subject, by its keyed hash."""
        return Subject(limit, address_id(canonical, self._key).hex)

    def spend(self, subjects: Iterable[Subject], connection: Connection | None = None) -> list[Tally]:
        """Count one hit of each subject in one round trip. Raises TooManyRequestsError.

        With a connection the hits belong to its transaction, and concurrent hits of a subject wait for it. Use that
        only at the end of a transaction.
        """
        counted = self._counted(subjects)
        if not counted:
            return []
        parameters = {
            "keys": [each.key for each in counted],
            "amounts": [each.item.amount for each in counted],
            "periods": [timedelta(seconds=each.item.get_expiry()) for each in counted],
            "firsts": [each.is_gate for each in counted],
        }
        rows = self._run(HIT, parameters, connection)
        tallies = [_tally(each, rows[each.key]) for each in counted if each.key in rows]
        if not all(tally.is_admitted for tally in tallies):
            raise TooManyRequestsError(tallies)
        return tallies

    def time_until_admitted(self, subject: Subject, connection: Connection | None = None) -> timedelta:
        """Return the time until a hit would be admitted, without counting one."""
        counted = self._counted([subject])
        if not counted:
            return timedelta(0)
        rows = self._run(PEEK, {"keys": [each.key for each in counted]}, connection)
        full = [rows[each.key] for each in counted if each.key in rows and rows[each.key].held >= each.item.amount]
        return timedelta(seconds=max((row.seconds for row in full), default=0))

    def refund(self, subjects: Iterable[Subject]) -> None:
        """Remove one hit of each subject."""
        if counted := self._counted(subjects):
            parameters = {"keys": [each.key for each in counted], "firsts": [each.is_gate for each in counted]}
            with self._engine.connect() as connection:
                connection.execute(REFUND, parameters)

    def _counted(self, subjects: Iterable[Subject]) -> list[_Counted]:
        # PostgreSQL rejects duplicate rows in one upsert.
        return [
            _Counted(item.key_for(subject.limit.value, subject.name), subject.limit, item)
            for subject in dict.fromkeys(subjects)
            for item in self._windows[subject.limit].items
        ]

    def _run(self, statement: Any, parameters: dict[str, Any], connection: Connection | None) -> dict[str, Any]:
        with nullcontext(connection) if connection else self._engine.connect() as given:
            return {row.key: row for row in given.execute(statement, parameters)}


def _tally(counted: _Counted, row: Any) -> Tally:
    left, seconds = max(counted.item.amount - row.held, 0), max(ceil(row.seconds), 1)
    return Tally(counted.limit, counted.item, row.is_admitted, left, seconds)
