"""Rate limits: their rules, and the hits that PostgreSQL counts in sliding windows.

Counting is exact and atomic across processes and hosts. A hit is one upsert that locks its row, so concurrent hits see
each other. Its timestamp is taken under the lock, so timestamps are in order. A rejected hit is not stored: the client
is admitted again once the oldest hit leaves the window.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from math import ceil
from typing import Any, ClassVar, Self

from sqlalchemy import Connection, Engine, text

from api_service.errors import Code, NotYetError
from shared.secrets import address_id

MOST_HITS = 1000
"""Of one window. Each hit's timestamp is stored and read with every later hit."""
NONE = "none"
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_WINDOW = re.compile(r"([0-9]{1,4}) ?(?:/|per) ?(?:([0-9]{1,4}) )?(second|minute|hour|day)s?")


class Limit(StrEnum):
    """The limits, named as in settings and responses."""

    REGISTRATIONS_PER_NETWORK = "registrations_per_network"
    REGISTRATIONS_PER_ADDRESS = "registrations_per_address"
    ORGANIZATIONS_PER_NETWORK = "organizations_per_network"
    ORGANIZATIONS_IN_TOTAL = "organizations_in_total"
    INVITATIONS_PER_USER = "invitations_per_user"
    INVITATIONS_PER_ORGANIZATION = "invitations_per_organization"
    INVITATIONS_PER_ADDRESS = "invitations_per_address"
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
    ORGANIZATION = "organization"
    SERVICE = "service"


@dataclass(frozen=True)
class Window:
    """At most ``amount`` hits within ``seconds``."""

    amount: int
    seconds: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse one window, such as ``5/hour``, ``5/5 minutes`` or ``5 per hour``. Raises ValueError."""
        if not (found := _WINDOW.fullmatch(text.strip())):
            raise ValueError("is no window")
        amount, multiple = int(found[1]), int(found[2] or 1)
        if not (1 <= amount <= MOST_HITS and multiple >= 1):
            raise ValueError("too few or too many")
        return cls(amount, multiple * SECONDS[found[3]])


@dataclass(frozen=True)
class Windows:
    """One or several windows, all of which apply: ``5/hour; 20/day``. Without windows there is no limit."""

    text: str
    items: tuple[Window, ...]

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse the value of a setting. Raises ValueError."""
        return cls(text, () if text == NONE else tuple(map(Window.read, text.split(";"))))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Rule:
    """The subject, description and default of a limit."""

    per: Per
    meaning: str
    default: str


RULES: Mapping[Limit, Rule] = {
    Limit.REGISTRATIONS_PER_NETWORK: Rule(Per.NETWORK, "Registrations from one network.", "20/minute"),
    Limit.REGISTRATIONS_PER_ADDRESS: Rule(Per.ADDRESS, "Registrations of one address.", "5/hour"),
    Limit.ORGANIZATIONS_PER_NETWORK: Rule(
        Per.NETWORK, "Registrations from one network that found an organization.", "10/day"
    ),
    Limit.ORGANIZATIONS_IN_TOTAL: Rule(
        Per.SERVICE,
        "Registrations from all networks that found an organization, with ORGANIZATIONS=before_activation: each may"
        " create a database.",
        "100/day",
    ),
    Limit.INVITATIONS_PER_USER: Rule(Per.USER, "Invitations by one user.", "50/day"),
    Limit.INVITATIONS_PER_ORGANIZATION: Rule(Per.ORGANIZATION, "Invitations to one organization.", "200/day"),
    Limit.INVITATIONS_PER_ADDRESS: Rule(Per.ADDRESS, "Invitations of one address, by all organizations.", "5/day"),
    Limit.RESENDS_PER_ADDRESS: Rule(
        Per.ADDRESS, "Resends to one address; RESEND_COOLDOWN_SECONDS is between them.", "5/day"
    ),
    Limit.CODE_TRIES_PER_ADDRESS: Rule(
        Per.ADDRESS, "Tries of codes sent to one address, including right ones; links are not limited.", "10/day"
    ),
    Limit.FAILED_LOGINS_PER_NETWORK: Rule(
        Per.NETWORK, "Failed logins from one network; a success does not clear them.", "10/minute"
    ),
    Limit.FAILED_LOGINS_PER_ADDRESS: Rule(Per.ADDRESS, "Failed logins to one address.", "5/5 minutes"),
    Limit.WRONG_PASSWORDS_PER_USER: Rule(
        Per.USER, "Wrong passwords of one signed-in user, for actions that ask for it again.", "5/5 minutes"
    ),
    Limit.CHANGES_PER_USER: Rule(
        Per.USER, "Changes of password or address by one signed-in user; each sends messages.", "10/day"
    ),
    Limit.RESETS_PER_NETWORK: Rule(Per.NETWORK, "Password resets requested from one network.", "20/minute"),
    Limit.RESETS_PER_ADDRESS: Rule(Per.ADDRESS, "Password resets of one address.", "5/hour"),
}

# Keys are sorted, so two requests with several limits in common cannot deadlock. The table name is qualified: in a
# pooler's session a statement outside a transaction lacks our settings.
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
    """The subject of a limit: a network, the hash of an address, a user, an organization, or the whole service."""

    limit: Limit
    name: str = field(repr=False)


@dataclass(frozen=True)
class Tally:
    """The state of one window for a subject; ``seconds`` is the time until its oldest hit leaves."""

    limit: Limit
    window: Window
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
    window: Window

    @property
    def is_gate(self) -> bool:
        """Whether the other hits count only if this one is admitted."""
        return RULES[self.limit].per is Per.NETWORK


class Limiter:
    """Counts hits against the configured limits.

    Networks are gates: what a network is refused does not count against addresses, which a stranger could otherwise
    exhaust. A hit that an address is refused still counts against the network.
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
            "amounts": [each.window.amount for each in counted],
            "periods": [timedelta(seconds=each.window.seconds) for each in counted],
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
        full = [rows[each.key] for each in counted if each.key in rows and rows[each.key].held >= each.window.amount]
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
            _Counted(f"{subject.limit}/{subject.name}/{each.amount}/{each.seconds}", subject.limit, each)
            for subject in dict.fromkeys(subjects)
            for each in self._windows[subject.limit].items
        ]

    def _run(self, statement: Any, parameters: dict[str, Any], connection: Connection | None) -> dict[str, Any]:
        with nullcontext(connection) if connection else self._engine.connect() as given:
            return {row.key: row for row in given.execute(statement, parameters)}


def _tally(counted: _Counted, row: Any) -> Tally:
    left, seconds = max(counted.window.amount - row.held, 0), max(ceil(row.seconds), 1)
    return Tally(counted.limit, counted.window, row.is_admitted, left, seconds)
