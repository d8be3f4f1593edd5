"""What an outbox gathers: settled rows, a backlog, dead tuples. Each state has a database of its own."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from bench.ground import Ground
from bench.relaying import FILL, FILL_LATE
from devstack.programs import DATABASE
from shared.database import driver_url

PAST_DAYS = 15
KEPT_DAYS = 90
"""RELAY_RETENTION_DAYS where it is not set."""

PAST_PARTITIONS = """
select signpost_make_partition(date_trunc('day', now(), 'UTC') - n * interval '1 day') from generate_series(1, %s) as n
"""
SETTLED_ROWS = """
insert into outbox_messages (id, template, channel, recipient, locale, payload, token_id, max_attempts, attempt,
                             status, provider, created_at, due_at, settled_at)
select uuidv7(moment - clock_timestamp()),
       'activation', 'email', 'user' || n || '@example.org', 'en', '{"name": "Ada", "key_id": "k"}',
       gen_random_uuid(), 8, 1, 'sent', 'smtp:mail:25', moment, moment, moment
  from generate_series(1, %s) as n, lateral (select now() - n %% {days} * interval '1 day') as day (moment)
""".replace("{days}", str(PAST_DAYS + 1))
# As if claimed and settled one after the other: each message leaves two dead versions.
CLAIMED = "update outbox_messages set lease_token = gen_random_uuid(), leased_until = now()"
SETTLED = """
update outbox_messages
   set status = 'sent', attempt = 1, settled_at = now(), lease_token = null, leased_until = null
"""


@dataclass(frozen=True)
class Amounts:
    """How much lies in each state."""

    settled: int
    pending: int
    dead_tuples: int


@dataclass(frozen=True)
class State:
    """An outbox in some state."""

    name: str
    database: str
    has_backlog: bool = False


@contextmanager
def empty(ours: Ground, _amounts: Amounts) -> Iterator[State]:
    """Have nothing there but what is claimed."""
    with state_database(ours, "state_empty"):
        yield State("empty", "state_empty")


@contextmanager
def settled(ours: Ground, amounts: Amounts) -> Iterator[State]:
    """Have settled messages of sixteen days, today's among them."""
    with state_database(ours, "state_settled", with_settled(ours, amounts.settled)):
        yield State(f"{amounts.settled:,} settled in {PAST_DAYS + 1} partitions", "state_settled")


@contextmanager
def long_kept(ours: Ground, _amounts: Amounts) -> Iterator[State]:
    """Have a partition for each of the days that messages are kept."""
    with state_database(ours, "state_kept") as connection:
        connection.execute(PAST_PARTITIONS, [KEPT_DAYS])
        yield State(f"partitions of {KEPT_DAYS} days", "state_kept")


def with_settled(ours: Ground, rows: int) -> str:
    """Return a database with so many settled messages of sixteen days, to be copied."""

    def fill(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(PAST_PARTITIONS, [PAST_DAYS])
        _in_halves(url, SETTLED_ROWS, rows)

    return _made_once(ours, f"settled_{rows}", fill)


def with_pending(ours: Ground, messages: int) -> str:
    """Return a database with so many messages that have been due for an hour, to be copied."""

    def fill(url: str) -> None:
        _in_halves(url, FILL_LATE, messages, ours.key_id)

    return _made_once(ours, f"pending_{messages}", fill)


def _in_halves(url: str, filling: str, rows: int, *told: str) -> None:
    """Fill over two connections at once: making rows keeps a core busy."""

    def fill(share: int) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(filling.encode(), [*told, share])

    with ThreadPoolExecutor(2) as both:
        list(both.map(fill, (rows // 2, rows - rows // 2)))


def _made_once(ours: Ground, name: str, fill: Callable[[str], object]) -> str:
    """Make the database, unless another part of the run has: a million rows take ten times as long as their copy."""
    with ours.connect() as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            return name
        ours.empty()  # what another part has left pending would be copied along
        _copy(connection, DATABASE, name)
    url = driver_url(ours.cluster.url(name))
    fill(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze outbox_messages")
    return name


@contextmanager
def backlog(ours: Ground, amounts: Amounts) -> Iterator[State]:
    """Have more messages due than the claims take."""
    with state_database(ours, "state_backlog", with_pending(ours, amounts.pending)):
        yield State(f"{amounts.pending:,} pending", "state_backlog", has_backlog=True)


@contextmanager
def dead_tuples(ours: Ground, amounts: Amounts) -> Iterator[State]:
    """Have an old transaction open, and behind it what no vacuum may take away."""
    with state_database(ours, "state_dead") as connection, old_transaction(connection.info.dsn):
        connection.execute(FILL, [ours.key_id, amounts.dead_tuples // 2])
        connection.execute(CLAIMED)
        connection.execute(SETTLED)
        connection.execute("vacuum analyze outbox_messages")
        yield State(f"{amounts.dead_tuples:,} dead tuples behind an old transaction", "state_dead")


@contextmanager
def old_transaction(dsn: str) -> Iterator[None]:
    """Hold a transaction open that has looked at the database as it is now."""
    with psycopg.connect(dsn) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("select count(*) from users")
        yield
        old.rollback()


@contextmanager
def state_database(ours: Ground, name: str, template: str = DATABASE) -> Iterator[psycopg.Connection]:
    """Make a database like the ground's, or another, and take it away."""
    with ours.connect() as connection:
        _copy(connection, template, name)
    try:
        with psycopg.connect(driver_url(ours.cluster.url(name)), autocommit=True) as connection:
            yield connection
    finally:
        with ours.connect() as connection:
            connection.execute(f"drop database {name} with (force)")


def _copy(connection: psycopg.Connection, template: str, name: str) -> None:
    # By file, and not through the WAL, which would write what is large twice.
    connection.execute(f"create database {name} template {template} strategy file_copy")
